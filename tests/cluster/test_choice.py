"""Whom to ask: pure, so all of it can be tried."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dingospeed.cluster.choice import Part, Peer, Step, is_too_slow, owners, plan, top

NODES = [Peer(name) for name in "abcde"]
ME = NODES[0]
PARTS = [Part(f"blob {number % 300}", number // 300) for number in range(3000)]


def steps(part=PARTS[0], me=ME, others=tuple(NODES[1:]), holders=(), **more):
    others = {peer.id: peer for peer in others}
    return list(plan(part, me=me, others=others, holders=set(holders), **more))


def owner(part, nodes=tuple(NODES)):
    return owners(part, nodes)[0].id


def test_plan__nobody_holds_it__the_owner_then_the_next_one():
    for part in PARTS[:50]:
        first, second = (peer.id for peer in owners(part, NODES))

        found = steps(part)

        if first == "a":
            assert found == []
        elif second == "a":
            assert found == [Step(first, True)]
        else:
            assert found == [Step(first, True), Step(second, True)]


def test_plan__all_nodes_in_turn__name_one_owner_who_asks_outside():
    for part in PARTS[:50]:
        asked = [
            steps(part, me=node, others=[other for other in NODES if other is not node]) for node in NODES
        ]

        assert {found[0].id for found in asked if found} == {owner(part)}
        assert asked["abcde".index(owner(part))] == []


def test_plan__somebody_holds_it__holders_before_the_owner():
    part = next(part for part in PARTS if owner(part) == "b")

    found = steps(part, holders="cd")

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
        steps(part, me=Peer("a", may_own=False), others=others) == [Step("d", True)] for part in PARTS[:50]
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

    for part in PARTS[:20]:
        found = steps(part, me=me, others=[worse, better], holders="bc", may_fetch=False)

        assert [step.id for step in found] == ["b", "c"]


def test_holders__equal_ones__share_the_askers():
    first = Counter(steps(part, holders="bcde")[0].id for part in PARTS)

    assert set(first) == set("bcde")
    assert max(first.values()) < 1.2 * min(first.values())


def test_owners__equal_weights__equal_shares():
    shares = Counter(owner(part) for part in PARTS)

    assert max(shares.values()) < 1.2 * min(shares.values())


def test_owners__twice_the_weight__twice_the_share():
    shares = Counter(owner(part, (Peer("a", weight=2), Peer("b"), Peer("c"))) for part in PARTS)

    assert 1.8 < shares["a"] / ((shares["b"] + shares["c"]) / 2) < 2.2


@given(st.sets(st.text("xyz0123", min_size=1), min_size=2, max_size=12), st.data())
def test_top__one_node_is_lost__only_what_it_had_moves(ids, data):
    lost = data.draw(st.sampled_from(sorted(ids)))
    nodes = [Peer(id) for id in ids]
    left = [node for node in nodes if node.id != lost]

    for part in PARTS[:20]:
        [before], [after] = top(part.key, nodes, 1), top(part.key, left, 1)
        assert after == before or before.id == lost


@pytest.mark.parametrize("count", [2, 3, 4, 7, 8])
def test_owners__each_row_of_a_file__is_dealt_out_evenly(count):
    nodes = [Peer(f"n{number}") for number in range(count)]

    for blob in range(20):
        for row in range(3):
            shares = Counter(owner(Part(f"blob {blob}", row * 8 + cell), nodes) for cell in range(8))
            assert max(shares.values()) == -(-8 // count)


def test_owners__in_whatever_order_the_nodes_are_known__the_same():
    for part in PARTS[:100]:
        assert owners(part, NODES) == owners(part, NODES[::-1])


def test_owners__one_node_is_lost__most_of_the_rest_stays():
    parts = [part for part in PARTS if owner(part) != "e"]

    stays = sum(owner(part) == owner(part, NODES[:4]) for part in parts)

    assert stays > 0.7 * len(parts)


def test_slow__only_after_a_while_and_only_when_another_is_much_better():
    assert is_too_slow(1e6, 3.0, 10e6)
    assert not is_too_slow(1e6, 1.0, 10e6)
    assert not is_too_slow(9e6, 3.0, 10e6)
    assert not is_too_slow(1e6, 3.0, 0)
