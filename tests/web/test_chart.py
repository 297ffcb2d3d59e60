from itertools import pairwise

import pytest

from dingospeed.web.chart import HEIGHT, WIDTH, chart_of


def hour(sent, hit=0, fetched=0, requests=1):
    return {
        "start": 0,
        "requests": requests,
        "hits": 0,
        "bytes": sent,
        "hit_bytes": hit,
        "fetched_bytes": fetched,
    }


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (4_999, 5_000), (5_001, 10_000)]
)
def test_chart__of_any_traffic__ends_at_a_round_figure(most, top):
    assert chart_of([hour(0), hour(most)]).top == top


def test_chart__of_hours__stacks_what_was_fetched_on_what_was_held():
    held, mixed = chart_of([hour(1000, hit=1000), hour(500, hit=100)]).bars

    assert (held.hit_y, held.hit_height, held.rest_height) == (0, HEIGHT, 0)
    assert (mixed.hit_height, mixed.rest_height) == (HEIGHT / 10, HEIGHT * 4 / 10)
    assert mixed.rest_y + mixed.rest_height == mixed.hit_y
    assert mixed.hit_y + mixed.hit_height == HEIGHT


def test_chart__of_a_day__stands_side_by_side_within_its_width():
    bars = chart_of([hour(1)] * 24).bars

    assert all(bar.x + bar.width <= following.x for bar, following in pairwise(bars))
    assert bars[0].x >= 0
    assert bars[-1].x + bars[-1].width <= WIDTH


def test_chart__of_hours__adds_them_up():
    chart = chart_of([hour(10, hit=4, fetched=7, requests=2), hour(5, hit=5)])

    assert (chart.requests, chart.bytes, chart.hit_bytes, chart.fetched_bytes) == (3, 15, 9, 7)


def test_chart__of_nothing__is_empty():
    assert chart_of([]).bars == ()
