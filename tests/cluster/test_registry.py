"""Heartbeats through a real Redis: who is there, who is not any more, and whose clock counts."""

import threading
import time

import pytest

from dingospeed.cluster.link import Link
from dingospeed.cluster.registry import Member, Registry
from dingospeed.errors import LinkDown
from tests.harness import wait_until

HEARTBEAT_S = 0.1


class Rights:
    """The right to beat for one node."""

    def __init__(self):
        self._lock = threading.Lock()

    def take(self):
        return self if self._lock.acquire(blocking=False) else None

    def release(self):
        self._lock.release()


@pytest.fixture
def make(redis):
    """Registries of nodes; with *rights* two can be workers of one node, with another *cache* they are two
    nodes of one name.
    """
    made = []

    def make(id, rights=None, cache="one"):
        link = Link(redis.url, timeout_s=0.3)
        registry = Registry(
            link=link,
            group="g",
            id=id,
            cache=cache,
            describe=lambda started_at: Member(id, f"http://{id}", started_at=started_at),
            take_right=(rights or Rights()).take,
            heartbeat_s=HEARTBEAT_S,
        )
        made.append((registry, link))
        return registry

    yield make
    for registry, link in made:
        registry.stop()
        link.close()


def ids(registry):
    return [member.id for member in registry.snapshot.members]


def test_members__three_nodes__each_knows_all(make):
    nodes = [make(id) for id in "abc"]

    for node in nodes:
        node.start()

    for node in nodes:
        wait_until(lambda node=node: ids(node) == ["a", "b", "c"], "all are known")
    assert [member.id for member in nodes[0].others()] == ["b", "c"]


def test_members__one_falls_silent__lost_after_its_heartbeats_expired_and_shown(make, redis):
    a, b = make("a"), make("b")
    b.beat()
    a.start()
    wait_until(lambda: ids(a) == ["a"], "b is lost")

    [lost] = a.snapshot.lost
    assert lost.id == "b"
    assert abs(lost.heard_at - time.time()) < 3600


def test_members__one_stops__gone_and_not_called_lost(make):
    a, b = make("a"), make("b")
    b.beat()
    a.start()
    wait_until(lambda: ids(a) == ["a", "b"])

    b.stop()

    wait_until(lambda: ids(a) == ["a"], "it is gone")
    assert not a.snapshot.lost


def test_members__one_worker_hands_over_to_the_next__never_away(make):
    rights = Rights()
    before, after, other = make("a", rights), make("a", rights), make("b")
    before.beat()
    before.stop()

    other.beat()
    assert ids(other) == ["a", "b"]
    after.beat()
    other.beat()
    assert ids(other) == ["a", "b"]
    assert not other.snapshot.lost


def test_beat__two_workers__one_speaks_and_the_other_listens_and_follows_it(make):
    rights = Rights()
    first, second = make("a", rights), make("a", rights)

    first.beat()
    second.beat()

    assert (first.is_beating, second.is_beating) == (True, False)
    assert ids(second) == ["a"]
    first.stop()
    second.beat()
    assert second.is_beating
    assert ids(second) == ["a"]


def test_members__clock_of_the_machine_is_wrong__nobody_is_lost_and_redis_tells_the_time(make, monkeypatch):
    a, b = make("a"), make("b")
    right = time.time()
    monkeypatch.setattr(time, "time", lambda: 12345.0)

    a.beat()
    b.beat()
    a.beat()

    assert ids(a) == ["a", "b"]
    assert all(abs(member.started_at - right) < 60 for member in a.snapshot.members)
    assert abs(a.now_s - right) < 60


def test_redis__not_there_at_the_start__joined_when_it_comes(make, redis):
    redis.kill()
    node = make("a")
    node.start()
    with pytest.raises(LinkDown):
        node.beat()

    redis.start()

    wait_until(lambda: ids(node) == ["a"], "it joined")


def test_redis__goes_away__last_members_stay_and_are_not_current(make, redis):
    a, b = make("a"), make("b")
    b.start()
    a.start()
    wait_until(lambda: ids(a) == ["a", "b"])

    redis.pause()

    wait_until(lambda: not a.is_current, "it is noticed")
    assert ids(a) == ["a", "b"]
    redis.wake()
    wait_until(lambda: a.is_current and ids(a) == ["a", "b"], "it is back")


def test_redis__emptied__another_epoch_and_members_again(make, redis):
    a = make("a")
    a.start()
    wait_until(lambda: ids(a) == ["a"])
    before = a.snapshot.epoch

    redis.client.flushall()

    wait_until(lambda: a.snapshot.epoch not in ("", before) and ids(a) == ["a"], "it is announced anew")


def test_link__redis_hangs__fails_soon_and_then_at_once(redis):
    link = Link(redis.url, timeout_s=0.2)
    redis.pause()
    with pytest.raises(LinkDown):
        link.run([("PING",)])

    assert not link.is_up
    with pytest.raises(LinkDown, match="left alone"):
        link.run([("PING",)])

    redis.wake()
    wait_until(lambda: link.is_up, "the breaker lets through")
    wait_until(lambda: _answers(link), "it answers")
    link.close()


def _answers(link):
    try:
        return link.run([("PING",)]) == [True]
    except LinkDown:
        return False


def test_name__of_another_node__the_newer_takes_no_part_until_that_is_gone(make, redis):
    older, third = make("a"), make("c")
    newer = make("a", cache="another")
    for node in (older, third):
        node.beat()

    newer.beat()

    assert ids(newer) == []
    assert not newer.is_current
    assert "the node at http://a is named a already; expected another cluster.node_id" in newer.trouble
    older.beat()
    assert ids(older) == ["a", "c"]
    assert older.trouble == ""
    newer.stop()
    assert redis.client.pttl("g:node:a") > 2 * 1000 * HEARTBEAT_S

    older.stop()
    younger = make("a", cache="another")
    wait_until(lambda: younger.beat() or ids(younger) == ["a", "c"], "the name is free")
    assert younger.trouble == ""


def test_name__given_to_two_that_begin_at_once__one_of_them_keeps_it(make):
    nodes = [make("a", cache=cache) for cache in ("one", "another")]

    for node in nodes:
        node.start()

    # Whoever was overwritten steps back, and the other goes on.
    wait_until(lambda: sorted(bool(node.trouble) for node in nodes) == [False, True], "one has it")
    [keeper] = [node for node in nodes if not node.trouble]
    assert ids(keeper) == ["a"]
