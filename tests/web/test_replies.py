import pytest
from hypothesis import given
from hypothesis import strategies as st

from dingospeed.errors import RangeNotSatisfiable
from dingospeed.model import Span
from dingospeed.web.replies import range_of


@pytest.mark.parametrize(
    ("header", "size", "span"),
    [
        ("bytes=0-0", 10, Span(0, 1)),
        ("bytes=9-9", 10, Span(9, 10)),
        ("bytes=2-", 10, Span(2, 10)),
        ("bytes=2-99", 10, Span(2, 10)),
        ("bytes=-3", 10, Span(7, 10)),
        ("bytes=-99", 10, Span(0, 10)),
        (" bytes=0-0 ", 10, Span(0, 1)),
        (None, 10, None),
        ("", 10, None),
        ("bytes=5-3", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("items=0-1", 10, None),
        ("bytes=１-２", 10, None),
        ("bytes=+1-2", 10, None),
        ("bytes=0-0", 0, None),
        ("bytes=0-", 0, None),
        ("bytes=-5", 0, None),
    ],
)
def test_range__header__the_span_it_means(header, size, span):
    assert range_of(header, size) == span


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=99-", 1)])
def test_range__begins_behind_the_end__can_not_be_satisfied(header, size):
    with pytest.raises(RangeNotSatisfiable):
        range_of(header, size)


@given(st.text(), st.integers(0, 1 << 50))
def test_range__any_text__a_span_within_the_file_or_none(header, size):
    try:
        span = range_of(header, size)
    except RangeNotSatisfiable:
        return
    assert span is None or 0 <= span.start < span.stop <= size
