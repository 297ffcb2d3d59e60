"""How many copies there are to be, who makes them, and which may go."""

import time

import pytest

from dingospeed.cluster.choice import Peer, top
from dingospeed.cluster.copies import Copies, missing
from dingospeed.cluster.link import Link
from dingospeed.model import Blob
from tests.harness import wait_until

NODES = [Peer(name) for name in "abcd"]
BLOB, OTHER = Blob("a" * 64, 10), Blob("b" * 64, 20)


@pytest.fixture
def make(redis):
    made = []

    def make(id, alive="abc", hot_reads=3):
        copies = Copies(
            link=Link(redis.url, timeout_s=0.3),
            group="g",
            id=id,
            alive=lambda: set(alive),
            now_s=time.time,
            hot_reads=hot_reads,
        )
        copies.start()
        made.append(copies)
        return copies

    yield make
    for copies in made:
        copies.stop()


@pytest.fixture
def held_by(redis):
    def held_by(blob, nodes, what="*"):
        for node in nodes:
            redis.client.hset(f"g:blob:{blob.etag}", node, what)

    return held_by


def test_missing__fewer_than_wanted__the_highest_that_lack_it():
    ranked = [peer.id for peer in top(BLOB.etag, NODES, 4)]

    assert missing(BLOB.etag, peers=NODES, holders={ranked[0]}, copies=2) == [ranked[1]]
    assert missing(BLOB.etag, peers=NODES, holders={ranked[3]}, copies=3) == [ranked[0], ranked[1]]


def test_missing__enough_or_nobody_to_copy_from__none():
    assert missing(BLOB.etag, peers=NODES, holders={"a", "b"}, copies=2) == []
    assert missing(BLOB.etag, peers=NODES, holders={"a", "b", "c"}, copies=2) == []
    assert missing(BLOB.etag, peers=NODES, holders={"gone"}, copies=2) == []


def test_wanted__pinned_and_hot__both_and_nothing_else(make):
    a, b = make("a"), make("b")
    a.repin([BLOB], lifetime_s=600)
    cold = Blob("c" * 64, 30)
    for copies in (a, b, b):
        copies.note_read(OTHER)
    a.note_read(cold)

    wait_until(lambda: set(a.wanted()) == {BLOB, OTHER}, "it is hot by the reads of two nodes")
    a.repin([], lifetime_s=600)
    assert a.wanted() == [OTHER]


def test_repin__another_node_still_wants_it__pinned_until_that_one_does_not(make, redis):
    a, b = make("a"), make("b")
    redis.client.hset("g:nodes", mapping={"a": 1, "b": 1})
    a.repin([BLOB, OTHER], lifetime_s=600)
    b.repin([BLOB], lifetime_s=600)

    a.repin([], lifetime_s=600)
    assert a.pinned() == {BLOB.etag: str(BLOB.size)}
    b.repin([], lifetime_s=600)
    assert a.pinned() == {}


def test_pinned__not_repeated_for_its_lifetime__no_longer(make, redis):
    a = make("a")
    a.repin([BLOB], lifetime_s=600)
    redis.client.hset("g:pins", OTHER.etag, f"{OTHER.size}:{int(time.time()) - 1}")

    assert a.wanted() == [BLOB]
    assert a.may_remove(OTHER.etag)
    assert a.pinned() == {BLOB.etag: str(BLOB.size)}
    assert redis.client.hkeys("g:pins") == [BLOB.etag]


def test_withdraw_and_hold__of_this_node_only(make, held_by):
    a = make("a")
    held_by(BLOB, "ab")

    a.withdraw([BLOB.etag])
    assert a.holders([BLOB.etag]) == [{"b"}]
    a.hold([BLOB.etag])
    assert a.holders([BLOB.etag]) == [{"a", "b"}]


def test_holders__of_many__only_whole_ones_of_nodes_alive(make, held_by):
    held_by(BLOB, "abz")
    held_by(OTHER, "c", "a:1")

    assert make("a").holders([BLOB.etag, OTHER.etag]) == [{"a", "b"}, set()]


def test_may_remove__last_copy_of_what_is_pinned__no_and_still_counted_on(make, held_by):
    a = make("a")
    a.repin([BLOB], lifetime_s=600)
    held_by(BLOB, "az")

    assert not a.may_remove(BLOB.etag)
    assert a.holders([BLOB.etag]) == [{"a"}]


def test_may_remove__pinned_with_another_copy__once(make, held_by):
    a, b = make("a"), make("b")
    a.repin([BLOB], lifetime_s=600)
    held_by(BLOB, "ab")

    assert a.may_remove(BLOB.etag)
    assert not b.may_remove(BLOB.etag)


def test_may_remove__not_pinned__yes_and_the_others_no_longer_count_on_it(make, held_by):
    a = make("a")
    held_by(BLOB, "a")

    assert a.may_remove(BLOB.etag)
    assert a.holders([BLOB.etag]) == [set()]


def test_may_remove__redis_is_away__no(make, redis):
    a = make("a")
    redis.kill()

    assert not a.may_remove(BLOB.etag)
