import time

import pytest

from dingospeed.web import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_999, "10.0 kB"),
        (123_456_789, "123 MB"),
        (999_600_000, "1.00 GB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_size__of_bytes__has_three_figures(value, text):
    assert figures.size(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (999, 1000, "99 %"),
        (1000, 1000, "100 %"),
        (0, 10, "0 %"),
        (1, 0, "–"),
        (None, 10, "–"),
        (0.256, 1.0, "25 %"),
    ],
)
def test_percent__nearly_all__is_not_all(part, whole, text):
    assert figures.percent(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (7.9, "7 s"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (273_600, "3 d 4 h"),
        (86_460, "1 d"),
    ],
)
def test_duration__in_seconds__is_told_in_two_units(seconds, text):
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("passed_s", "text"), [(3, "just now"), (65, "1 min ago"), (7300, "2 h ago"), (200_000, "2 d ago")]
)
def test_ago__of_a_moment__is_told_in_one_unit(passed_s, text):
    assert figures.ago(time.time() - passed_s) == text


def test_ago__of_nothing__is_never():
    assert figures.ago(None) == "never"
