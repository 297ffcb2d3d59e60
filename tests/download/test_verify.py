from __future__ import annotations

import os
import threading

import pytest

from dingospeed.download import verify
from dingospeed.errors import ContentMismatch, StoreError
from dingospeed.model import Span
from dingospeed.store.content import hash_span
from dingospeed.store.header import State

BLOCK = 16 << 10
SEGMENT = 8 * BLOCK


@pytest.fixture
def origin(make_origin):
    return make_origin(5 * SEGMENT + 100)


@pytest.fixture
def enter(engine, origin, until):
    """A filling of the origin's blob, left at the end."""
    entered = []

    def enter(by=engine):
        entered.append((by, by.fillings.enter(origin.blob)))
        return entered[-1][1]

    yield enter
    for by, filling in entered:
        by.fillings.leave(filling, reading=True)
        until(lambda by=by: len(by.fillings) == 0)


def put(filling, content, span):
    filling.file.write(content[span.start : span.stop], span.start)
    filling.file.mark(span)
    filling.stir()


def test_ensure__filled_in_any_order__sealed(engine, origin, enter, until):
    filling = enter()
    engine.verifier.ensure(filling)

    for segment in (3, 1, 5, 0, 4, 2):
        put(filling, origin.content, filling.segment(segment))

    until(lambda: engine.blobs.is_sealed(origin.blob))
    assert engine.read(origin.blob, None) == origin.content


def test_ensure__content_wrong__rejected_and_its_readers_told(engine, origin, enter, until):
    filling = enter()
    engine.verifier.ensure(filling)

    put(filling, bytes(origin.blob.size), origin.blob.whole)

    until(lambda: filling.file.state is State.REJECTED)
    until(lambda: not filling.is_verifying)
    with pytest.raises(ContentMismatch):
        filling.available(0, 1)
    assert engine.blobs.rejections(origin.blob) == 1
    assert not engine.blobs.is_sealed(origin.blob)


def test_ensure__called_again_and_again__one_verifier(engine, origin, enter, until):
    filling = enter()
    of_others = set(threading.enumerate())

    for _ in range(50):
        engine.verifier.ensure(filling)

    begun = set(threading.enumerate()) - of_others
    assert [thread.name for thread in begun].count("verify") == 1


def test_ensure__another_process_verifies__left_to_it(make_engine, engine, origin, enter, until):
    other = make_engine()
    ours, theirs = enter(), enter(other)
    other.verifier.ensure(theirs)

    engine.verifier.ensure(ours)

    assert not ours.is_verifying
    put(ours, origin.content, origin.blob.whole)
    until(lambda: engine.blobs.is_sealed(origin.blob))
    assert ours.file.state is State.SEALED


def test_ensure__verifier_of_another_process_gone__takes_over(engine, origin, enter, until):
    filling = enter()
    with engine.leases.try_acquire(f"verify-{origin.blob.etag}"):
        engine.verifier.ensure(filling)
        assert not filling.is_verifying
    put(filling, origin.content, origin.blob.whole)

    def is_sealed():
        engine.verifier.ensure(filling)
        return engine.blobs.is_sealed(origin.blob)

    until(is_sealed)


def test_ensure__disk_read_fails_in_the_middle__readers_fail_and_right_content_is_not_thrown_away(
    engine, origin, enter, until, monkeypatch
):

    def half_of_it(into, fd, start, stop):
        hash_span(into, fd, start, stop - 1)
        raise OSError("bad sector")

    monkeypatch.setattr(verify, "hash_span", half_of_it)
    filling = enter()
    put(filling, origin.content, origin.blob.whole)
    engine.verifier.ensure(filling)
    until(lambda: not filling.is_verifying)
    with pytest.raises(StoreError, match="bad sector"):
        filling.available(0, 1)

    monkeypatch.setattr(verify, "hash_span", hash_span)
    engine.verifier.ensure(filling)

    until(lambda: engine.blobs.is_sealed(origin.blob))
    assert engine.blobs.rejections(origin.blob) == 0


def test_ensure__no_lease_file_can_be_made__not_verified_for_now(engine, origin, enter, monkeypatch, until):
    def full(_key):
        raise StoreError("no space")

    filling = enter()
    put(filling, origin.content, origin.blob.whole)
    with monkeypatch.context() as broken:
        broken.setattr(engine.leases, "try_acquire", full)
        engine.verifier.ensure(filling)
        assert not filling.is_verifying

    def is_sealed():
        engine.verifier.ensure(filling)
        return engine.blobs.is_sealed(origin.blob)

    until(is_sealed)


def test_ensure__disk_fails_to_take_the_bytes__not_sealed_and_readers_told(
    engine, origin, enter, until, monkeypatch
):
    def broken(_fd):
        raise OSError("broken")

    monkeypatch.setattr(os, "fdatasync", broken)
    filling = enter()
    put(filling, origin.content, origin.blob.whole)

    engine.verifier.ensure(filling)

    until(lambda: not filling.is_verifying)
    assert not engine.blobs.is_sealed(origin.blob)
    with pytest.raises(StoreError, match="broken"):
        filling.available(0, 1)


def test_ensure__all_readers_gone__what_is_held_is_on_the_disk(engine, origin, until):
    filling = engine.fillings.enter(origin.blob)
    put(filling, origin.content, Span(0, 2 * SEGMENT))
    engine.verifier.ensure(filling)

    engine.fillings.leave(filling, reading=True)

    until(lambda: len(engine.fillings) == 0)
    after_boot = type(engine.blobs)(layout=engine.layout, block_bytes=BLOCK, boot_id=b"another boot id.")
    assert after_boot.held_bytes(origin.blob) == 2 * SEGMENT


def test_ensure__readers_come_and_go__what_was_hashed_is_not_hashed_again(
    make_engine, origin, until, monkeypatch
):
    hashed = []

    def counted(into, fd, start, stop):
        hashed.append(Span(start, stop))
        hash_span(into, fd, start, stop)

    monkeypatch.setattr(verify, "hash_span", counted)
    engine = make_engine(linger_s=60)

    for start in range(0, origin.blob.size, SEGMENT):
        span = Span(start, min(start + SEGMENT, origin.blob.size))
        assert engine.read(origin.blob, origin, span) == origin.content[span.start : span.stop]
        until(lambda span=span: sum(map(len, hashed)) >= span.stop)
        threading.Event().wait(0.1)  # time to go, for one that does not stay

    until(lambda: engine.blobs.is_sealed(origin.blob))
    assert sum(map(len, hashed)) == origin.blob.size


def test_read__large_file_is_still_on_its_way_to_the_disk__ends_all_the_same(
    engine, origin, until, monkeypatch
):
    monkeypatch.setattr(verify, "_LARGE_BYTES", 0)
    is_read = threading.Event()
    seal = engine.blobs.seal
    monkeypatch.setattr(engine.blobs, "seal", lambda file: is_read.wait(30) and seal(file))

    content = engine.read(origin.blob, origin)
    is_sealed_before = engine.blobs.is_sealed(origin.blob)
    is_read.set()

    assert content == origin.content
    assert not is_sealed_before
    until(lambda: engine.blobs.is_sealed(origin.blob))
