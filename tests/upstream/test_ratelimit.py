from __future__ import annotations

import pytest

from dingospeed.upstream.ratelimit import DEFAULT_WAIT_S, Budget, budgets, wait_s


def test_budgets__as_the_hub_writes_them__are_read():
    headers = {
        "RateLimit": '"resolvers";r=2997;t=258',
        "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300',
    }

    assert budgets(headers, 7.0) == {"resolvers": Budget(2997, 258, 3000, 300, 7.0)}


def test_budgets__only_one_of_the_two__leaves_the_rest_open():
    assert budgets({"RateLimit": '"api";r=1'}, 0.0) == {"api": Budget(1, None, None, None, 0.0)}


@pytest.mark.parametrize("text", ["", ";;;", "r=1;t=2", '"', '"a";r=1' * 10_000, "\x00\xff", '"x;r=1'])
def test_budgets__nonsense__does_no_harm(text):
    assert len(budgets({"RateLimit": text, "RateLimit-Policy": text}, 0.0)) <= 16


def test_budgets__more_than_any_hub_has__are_cut():
    text = ", ".join(f'"b{number}";r=1;t=1' for number in range(100))

    assert len(budgets({"RateLimit": text}, 0.0)) == 16


def test_wait__parameters_inside_the_name__are_no_parameters():
    assert wait_s({"RateLimit": '"a;t=99";r=0'}, 0.0) == DEFAULT_WAIT_S


def test_wait__several_buckets_are_empty__is_for_the_last_of_them():
    assert wait_s({"RateLimit": '"a";r=0;t=5, "b";r=0;t=50, "c";r=1;t=500'}, 0.0) == 50.0


def test_wait__both_ways_told__retry_after_counts():
    assert wait_s({"Retry-After": "3", "RateLimit": '"a";r=0;t=50'}, 0.0) == 3.0
