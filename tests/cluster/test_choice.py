"""Whom to ask: pure, so all of it can be tried."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dingospeed.cluster.choice import Peer, Step, is_too_slow, plan, top

NODES = [Peer(name) for name in "abcde"]
ME = NODES[0]
KEYS = [f"blob {number}" for number in range(3000)]


def steps(key="k", me=ME, others=tuple(NODES[1:]), holders=(), **more):
    return list(plan(key, me=me, others=others, holders=set(holders), **more))


def owner(key, nodes=tuple(NODES)):
    return top(key, nodes, 1)[0].id


def test_plan__nobody_holds_it__the_owner_then_the_next_one():
    for key in KEYS[:50]:
        first, second = (peer.id for peer in top(key, NODES, 2))

        found = steps(key)

        if first == "a":
            assert found == []
        elif second == "a":
            assert found == [Step(first, True)]
        else:
            assert found == [Step(first, True), Step(second, True)]


def test_plan__all_nodes_in_turn__name_one_owner_who_asks_outside():
    for key in KEYS[:50]:
        asked = [
            steps(key, me=node, others=[other for other in NODES if other is not node]) for node in NODES
        ]

        assert {found[0].id for found in asked if found} == {owner(key)}
        assert asked["abcde".index(owner(key))] == []


def test_plan__somebody_holds_it__holders_before_the_owner():
    key = next(key for key in KEYS if owner(key) == "b")

    found = steps(key, holders="cd")

    assert {step.id for step in found[:2]} == {"c", "d"}
    assert not any(step.is_owner for step in found[:2])
    assert found[2] == Step("b", True)


def test_plan__a_holder_that_is_gone__is_passed_over():
    assert all(step.is_owner for step in steps(holders=["gone"]))


def test_plan__not_to_be_fetched_for_others__holders_only():
    assert steps(holders="b", may_fetch=False) == [Step("b", False)]
    assert steps(may_fetch=False) == []


def test_plan__nodes_without_internet__own_nothing():
    others = [Peer("b", may_own=False), Peer("c", may_own=False), Peer("d")]

    assert all(
        steps(key, me=Peer("a", may_own=False), others=others) == [Step("d", True)] for key in KEYS[:50]
    )


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Peer("b", zone="z"), Peer("c", zone="y")),
        (Peer("b", zone="z", busy=1), Peer("c", zone="z", busy=9)),
        (Peer("b", rate=80e6), Peer("c", rate=10e6)),
        (Peer("b", weight=4), Peer("c", weight=1)),
        (Peer("b", zone="z", busy=9), Peer("c", zone="y")),
    ],
)
def test_holders__one_is_better__is_asked_first(better, worse):
    me = Peer("a", zone="z")

    for key in KEYS[:20]:
        found = steps(key, me=me, others=[worse, better], holders="bc", may_fetch=False)

        assert [step.id for step in found] == ["b", "c"]


def test_holders__equal_ones__share_the_askers():
    first = Counter(steps(key, holders="bcde")[0].id for key in KEYS)

    assert set(first) == set("bcde")
    assert max(first.values()) < 1.2 * min(first.values())


def test_owners__equal_weights__equal_shares():
    shares = Counter(owner(key) for key in KEYS)

    assert max(shares.values()) < 1.2 * min(shares.values())


def test_owners__twice_the_weight__twice_the_share():
    shares = Counter(owner(key, (Peer("a", weight=2), Peer("b"), Peer("c"))) for key in KEYS)

    assert 1.8 < shares["a"] / ((shares["b"] + shares["c"]) / 2) < 2.2


@given(st.sets(st.text("xyz0123", min_size=1), min_size=2, max_size=12), st.data())
def test_owners__one_node_is_lost__only_what_it_owned_moves(ids, data):
    lost = data.draw(st.sampled_from(sorted(ids)))
    nodes = [Peer(id) for id in ids]
    left = [node for node in nodes if node.id != lost]

    for key in KEYS[:20]:
        before = owner(key, nodes)
        assert owner(key, left) == before or before == lost


def test_slow__only_after_a_while_and_only_when_another_is_much_better():
    assert is_too_slow(1e6, 3.0, 10e6)
    assert not is_too_slow(1e6, 1.0, 10e6)
    assert not is_too_slow(9e6, 3.0, 10e6)
    assert not is_too_slow(1e6, 3.0, 0)
