"""Cleaning in a group: what others hold, what others keep, and a Redis that is away or empty."""

import subprocess
import sys

import psutil
import pytest

from dingospeed.config.cleaning import Cleaning
from dingospeed.config.settings import Log
from dingospeed.store.pins import Pin, Pins
from dingospeed.upkeep.apart import Task, run_apart, tidy
from dingospeed.upkeep.cleaning import Marks, Rules
from dingospeed.upkeep.lastcopies import Membership, last_copies_of
from dingospeed.upkeep.tidying import Scope, act, make_plan
from tests.cache import Cache, content, etag_of
from tests.harness import wait_until
from tests.redis_server import redis  # noqa: F401

A, B = content(100_000, 1), content(100_000, 2)


class Node:
    """A node as far as cleaning knows it: a cache, and a name in the group."""

    def __init__(self, id, folder, redis):  # noqa: F811
        self.id = id
        self.cache = Cache(folder)
        self.pins = Pins(self.cache.layout)
        self._redis = redis
        self.cache.repo("org/one", {"a": A})
        self.cache.repo("org/two", {"b": B})
        self.joins()

    def joins(self):
        """Its word, as its registry gives it."""
        word = f'{{"id": "{self.id}", "address": "http://x"}}'
        self._redis.client.set(f"g:node:{self.id}", word)
        self._redis.client.hset("g:nodes", self.id, self._redis.client.time()[0])
        for etag in self.cache.blobs():
            self._redis.client.hset(f"g:blob:{etag}", self.id, "*")

    @property
    def membership(self):
        return Membership(
            redis_url=self._redis.url, redis_s=0.5, group="g", id=self.id, heartbeat_s=1, pins_s=600
        )

    def cleans(self, do=tidy, **settings):
        task = Task(repos=self.cache.root, cleaning=Cleaning(**settings), log=Log(), group=self.membership)
        return do(task).cleaned

    def plans(self):
        """To remove all that may go."""
        group = last_copies_of(self.membership, self.cache.layout)
        assert group is not None
        group.ask(())
        return make_plan(self.cache.layout, Rules(goal=Marks(0, 0)), Scope(), group), group


@pytest.fixture
def nodes(tmp_path, redis):  # noqa: F811
    """The first holds A, the longer unused, and B; the second nothing."""
    first, second = (Node(name, tmp_path / name, redis) for name in ("n0", "n1"))
    first.cache.blob(A, unused=2000)
    first.cache.blob(B, unused=1000)
    first.joins()
    return first, second


def test_tidy__another_node_holds_what_was_used_last__that_goes_and_is_taken_back(nodes, redis):  # noqa: F811
    first, second = nodes
    second.cache.blob(B)
    second.joins()

    first.cleans(run_apart, high_water="150KB", low_water="110KB")

    assert first.cache.blobs() == {etag_of(A)}
    assert redis.client.hgetall(f"g:blob:{etag_of(B)}") == {"n1": "*"}


def test_tidy__pinned_on_another_node__its_last_copy_stays_and_is_counted_on(nodes, redis):  # noqa: F811
    first, second = nodes
    second.pins.add(Pin("org/one"))
    assert second.cleans() is None

    cleaned = first.cleans(high_water="1KB")

    assert cleaned.missing_bytes > 0
    assert first.cache.blobs() == {etag_of(A)}
    assert redis.client.hgetall(f"g:blob:{etag_of(A)}") == {"n0": "*"}


def test_tidy__mounted_on_another_node__the_group_keeps_it_and_the_other_copy_goes(nodes, tmp_path, redis):  # noqa: F811
    first, second = nodes
    second.cache.blob(A)
    (tmp_path / "mounted").hardlink_to(second.cache.layout.sealed(etag_of(A)))
    second.joins()
    second.cleans()

    first.cleans(high_water="1KB")
    second.cleans(high_water="1KB")

    assert redis.client.hkeys("g:pins") == [etag_of(A)]
    assert first.cache.blobs() == set()
    assert second.cache.blobs() == {etag_of(A)}


def test_tidy__unpinned_again__goes(nodes):
    first, second = nodes
    second.pins.add(Pin("org/one"))
    second.cleans()
    second.pins.remove(Pin("org/one"))
    second.cleans()

    first.cleans(high_water="1KB")

    assert first.cache.blobs() == set()


def test_tidy__redis_is_away__what_was_pinned_last_stays_and_the_rest_goes(nodes, redis):  # noqa: F811
    first, second = nodes
    second.pins.add(Pin("org/one"))
    second.cleans()
    first.cleans()
    redis.kill()

    first.cleans(high_water="1KB")

    assert first.cache.blobs() == {etag_of(A)}


def test_tidy__redis_was_emptied__what_was_pinned_last_stays_until_all_have_told(nodes, redis):  # noqa: F811
    first, second = nodes
    second.pins.add(Pin("org/one"))
    second.cleans()
    first.cleans()
    redis.client.flushall()
    first.joins()

    first.cleans(high_water="1KB")
    assert first.cache.blobs() == {etag_of(A)}

    first.cleans(high_water="1KB")
    assert first.cache.blobs() == set()


@pytest.fixture
def both_hold_it(nodes):
    """A is on both, and pinned."""
    first, second = nodes
    second.pins.add(Pin("org/one"))
    second.cache.blob(A)
    second.joins()
    second.cleans()
    return first


def test_act__the_other_copy_went_since_the_plan__this_one_stays(both_hold_it, redis):  # noqa: F811
    plan, group = both_hold_it.plans()
    redis.client.hdel(f"g:blob:{etag_of(A)}", "n1")

    cleaned = act(both_hold_it.cache.layout, plan, group)

    assert (cleaned.files, cleaned.in_use) == (1, 1)
    assert both_hold_it.cache.blobs() == {etag_of(A)}


def test_act__used_since_the_plan__stays_and_is_counted_on(both_hold_it, redis):  # noqa: F811
    plan, group = both_hold_it.plans()
    both_hold_it.cache.age(both_hold_it.cache.layout.sealed(etag_of(A)), unused=0)

    act(both_hold_it.cache.layout, plan, group)

    assert both_hold_it.cache.blobs() == {etag_of(A)}
    assert redis.client.hgetall(f"g:blob:{etag_of(A)}") == {"n0": "*", "n1": "*"}


def test_other_process__the_one_who_started_it_is_killed__ends_too():
    code = """
        import os, subprocess, sys
        command = "from dingospeed.upkeep.apart import main; main()"
        child = subprocess.Popen([sys.executable, "-c", command, str(os.getpid())])
        print(child.pid, flush=True)
        child.wait()
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    # It waits for its task, and this side of the pipe stays open.
    with subprocess.Popen(
        [sys.executable, "-c", lines], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        own = psutil.Process().nice()
        wait_until(lambda: child.nice() > own, "it has begun")
        parent.kill()

        wait_until(lambda: not is_running(child), "it ended")


def is_running(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
