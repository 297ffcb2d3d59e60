"""Who has most: bounded, and right about the large ones."""

from hypothesis import given
from hypothesis import strategies as st

from dingospeed.upkeep.toplist import TopList, merged

AMOUNTS = st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(1, 1000)))


@given(AMOUNTS)
def test_add__any_amounts__holds_who_has_a_large_share_and_is_never_too_low(amounts):
    top = TopList(4)
    true: dict[str, int] = {}

    for key, amount in amounts:
        top.add(key, amount)
        true[key] = true.get(key, 0) + amount

    found = top.amounts()
    assert len(found) <= 4
    assert sum(found.values()) == sum(true.values())
    for key, amount in true.items():
        if amount > sum(true.values()) / 4:
            assert key in found
        if key in found:
            assert found[key] >= amount


def test_add__nothing_more__pushes_nobody_out():
    top = TopList(1)
    top.add("a", 5)

    top.add("b", 0)

    assert top.amounts() == {"a": 5}


def test_merged__several_lists__the_largest_in_order():
    assert list(merged([{"a": 1, "b": 5}, {"a": 7, "c": 2}], 2).items()) == [("a", 8), ("b", 5)]
