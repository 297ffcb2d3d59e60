"""Several workers of one node: they share the disk and nothing else."""

from __future__ import annotations

import hashlib

import pytest

from dingospeed.model import Span

BLOCK = 16 << 10
SEGMENT = 8 * BLOCK
MIB = 1 << 20


@pytest.fixture
def origin(make_origin):
    return make_origin(3 * MIB + 12_345)


@pytest.fixture
def hub(make_hub, origin):
    return make_hub(origin)


def sha_of(content):
    return hashlib.sha256(content).hexdigest()


def test_read__by_three_processes_at_once__every_byte_fetched_once(start_worker, hub, origin, engine):
    workers = [start_worker(hub) for _ in range(3)]
    spans = [origin.blob.whole, Span(1_000_000, origin.blob.size), Span(500_000, 2_000_001)]

    readings = [(worker.reads(origin.blob, span), span) for span in spans for worker in workers]

    for reading, span in readings:
        assert reading.ends() == (sha_of(origin.content[span.start : span.stop]), None)
    assert origin.most_often == 1
    assert origin.sent_bytes == origin.blob.size
    assert engine.blobs.is_sealed(origin.blob)


def test_read__another_process_fills__follows_byte_by_byte(start_worker, hub, origin):
    middle_of_a_block = SEGMENT + 3 * BLOCK + 77
    gate = origin.stops_at(middle_of_a_block)
    leader, follower = start_worker(hub), start_worker(hub)

    leading = leader.reads(origin.blob)
    leading.has(middle_of_a_block)
    following = follower.reads(origin.blob)
    following.has(middle_of_a_block)

    gate.opens()
    assert leading.ends() == following.ends() == (origin.blob.etag, None)
    assert origin.most_often == 1


def test_read__process_that_fills_is_killed__another_goes_on_at_that_byte(start_worker, hub, origin):
    middle_of_a_block = 2 * SEGMENT + 5 * BLOCK + 77
    gate = origin.stops_at(middle_of_a_block)
    leader, follower = start_worker(hub), start_worker(hub)
    leading = leader.reads(origin.blob)
    leading.has(middle_of_a_block)
    following = follower.reads(origin.blob)
    following.has(middle_of_a_block)

    leader.is_killed()
    gate.opens()

    assert following.ends() == (origin.blob.etag, None)
    assert origin.most_often == 1
    assert origin.sent_bytes == origin.blob.size


def test_read__process_that_fills_is_killed_and_nobody_follows__next_one_goes_on(start_worker, hub, origin):
    middle_of_a_block = 2 * SEGMENT + 5 * BLOCK + 77
    gate = origin.stops_at(middle_of_a_block)
    leader = start_worker(hub)
    leader.reads(origin.blob).has(middle_of_a_block)

    leader.is_killed()
    gate.opens()
    later = start_worker(hub).reads(origin.blob)

    assert later.ends() == (origin.blob.etag, None)
    assert origin.most_often == 1


def test_read__sealed_by_another_process_meanwhile__goes_on_to_its_end(
    start_worker, hub, origin, engine, until
):
    slow = start_worker(hub).reads(origin.blob, slow=True)
    slow.has(1)

    fast = start_worker(hub).reads(origin.blob)
    assert fast.ends() == (origin.blob.etag, None)
    until(lambda: engine.blobs.is_sealed(origin.blob))

    while slow.end is None:
        slow.goes_on()
    assert slow.ends() == (origin.blob.etag, None)
    assert origin.most_often == 1


def test_read__rejected_by_another_process_meanwhile__cut_off(start_worker, hub, origin, engine, until):
    origin.corrupts(100)
    gate = origin.stops_at(origin.blob.size - 1)
    leader, follower = start_worker(hub), start_worker(hub)
    leading = leader.reads(origin.blob)
    leading.has(2 * MIB)
    following = follower.reads(origin.blob, slow=True)
    following.has(1)

    gate.opens()
    assert leading.ends()[1] == "ContentMismatch"
    while following.end is None:
        following.goes_on()

    assert following.ends()[1] == "ContentMismatch"
    assert following.at < origin.blob.size
    assert engine.blobs.rejections(origin.blob) == 1
    assert start_worker(hub).reads(origin.blob).ends() == (origin.blob.etag, None)


def test_read__process_that_verifies_is_killed__another_verifies(start_worker, hub, origin, engine):
    gate = origin.stops_at(origin.blob.size - 1)
    first, second = start_worker(hub), start_worker(hub)
    first.reads(origin.blob).has(2 * MIB)
    following = second.reads(origin.blob)
    following.has(2 * MIB)

    first.is_killed()
    gate.opens()

    assert following.ends() == (origin.blob.etag, None)
    assert engine.blobs.is_sealed(origin.blob)
