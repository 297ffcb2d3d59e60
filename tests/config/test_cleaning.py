"""Marks of cleaning: shares and sizes, and what goes with what."""

import pytest
from pydantic import ValidationError

from dingospeed.config.cleaning import Cleaning


@pytest.mark.parametrize(
    ("text", "mark"),
    [("90%", 0.9), ("0.5%", 0.005), ("100%", 1.0), (0.9, 0.9), ("500GB", 500 * 10**9), (1024, 1024)],
)
def test_mark__share_or_size__is_told_apart(text, mark):
    found = Cleaning.model_validate({"high_water": text}).high_water

    assert type(found) is type(mark)
    assert found == pytest.approx(mark)


@pytest.mark.parametrize("text", ["0%", "101%", "-1%", "much", 1.5, -1, True, "%", "1e3", 1 << 63])
def test_mark__neither__is_refused(text):
    with pytest.raises(ValidationError):
        Cleaning.model_validate({"high_water": text})


@pytest.mark.parametrize(
    "settings",
    [
        {"low_water": "80%"},
        {"high_water": "80%", "low_water": "90%"},
        {"high_water": "80%", "low_water": "1GB"},
        {"daily": "03:30"},
        {"high_water": "80%", "daily": "25:00"},
        {"strategy": "MRU"},
        {"keep": ["a b"]},
    ],
)
def test_settings__that_do_not_go_together__are_refused(settings):
    with pytest.raises(ValidationError):
        Cleaning.model_validate(settings)


def test_low_mark__left_out__is_nine_tenths_of_the_high_one():
    assert Cleaning().low is None
    assert Cleaning.model_validate({"high_water": "1000"}).low == 900
    assert Cleaning.model_validate({"high_water": "90%"}).low == pytest.approx(0.81)
    assert Cleaning.model_validate({"high_water": "90%", "low_water": "50%"}).low == 0.5
