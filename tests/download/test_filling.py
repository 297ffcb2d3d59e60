from __future__ import annotations

import os
import threading

import psutil
import pytest

from dingospeed.errors import ContentMismatch, StoreError
from dingospeed.model import Blob, Span
from dingospeed.store.content import content_hash

BLOCK = 16 << 10
SEGMENT = 8 * BLOCK


@pytest.fixture
def origin(make_origin):
    return make_origin(5 * SEGMENT + 100)


@pytest.fixture
def filling(engine, origin):
    filling = engine.fillings.enter(origin.blob)
    yield filling
    engine.fillings.leave(filling, reading=True)


# --- entering and leaving ------------------------------------------------------------------


def test_enter__by_many_readers__one_filling_closed_by_the_last(engine, origin):
    before = psutil.Process().num_fds()
    fillings = [engine.fillings.enter(origin.blob) for _ in range(3)]

    assert len({id(filling) for filling in fillings}) == 1
    assert psutil.Process().num_fds() == before + 1
    for filling in fillings:
        os.fstat(filling.file.fd)
        engine.fillings.leave(filling, reading=True)
    assert psutil.Process().num_fds() == before
    assert len(engine.fillings) == 0


def test_enter__by_many_threads_at_once__one_filling(engine, origin):
    before = psutil.Process().num_fds()
    together, found = threading.Barrier(8), []

    def enter():
        together.wait()
        found.append(engine.fillings.enter(origin.blob))

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len({id(filling) for filling in found}) == 1
    assert found[0].readers == 8
    for filling in found:
        engine.fillings.leave(filling, reading=True)
    assert len(engine.fillings) == 0
    assert psutil.Process().num_fds() == before


def test_enter__sealed__none(engine, origin):
    engine.read(origin.blob, origin)

    assert engine.fillings.enter(origin.blob) is None


def test_enter__rejected_by_another_process__a_new_one(engine, origin, filling):
    with engine.blobs.open_partial(origin.blob) as other:
        other.reject()

    new = engine.fillings.enter(origin.blob)

    assert new is not filling
    with pytest.raises(ContentMismatch):
        filling.available(0, 10)
    assert new.available(0, 10) == 0
    engine.fillings.leave(new, reading=True)


def test_drop__others_still_read__they_keep_it_and_who_comes_gets_another(engine, origin, filling):
    engine.fillings.drop(filling)

    other = engine.fillings.enter(origin.blob)

    assert other is not filling
    engine.fillings.leave(other, reading=True)
    os.fstat(filling.file.fd)


def test_enter__disk_slow_for_one_blob__others_do_not_wait(
    engine, make_origin, origin, monkeypatch, make_gate
):
    gate, slow = make_gate(0), make_origin(1000, seed=5)
    open_partial = engine.blobs.open_partial

    def slow_for_one(blob, **options):
        if blob == slow.blob:
            gate.pass_through()
        return open_partial(blob, **options)

    monkeypatch.setattr(engine.blobs, "open_partial", slow_for_one)
    found = []
    thread = threading.Thread(target=lambda: found.append(engine.fillings.enter(slow.blob)))
    thread.start()
    gate.is_reached()

    filling = engine.fillings.enter(origin.blob)
    engine.fillings.leave(filling, reading=True)

    gate.opens()
    thread.join(60)
    engine.fillings.leave(found[0], reading=True)


# --- claims ---------------------------------------------------------------------------------


def test_claim__already_being_filled__the_same_fill_only_nearer(filling, origin):
    fill, is_new = filling.claim(3, origin, 5)
    assert is_new

    assert filling.claim(3, origin, 2) == (fill, False)
    assert fill.distance == 2
    assert filling.claim(3, origin, 4) == (fill, False)
    assert fill.distance == 2


def test_claim__found_elsewhere_a_moment_ago__left_alone_for_a_while(filling, origin, until):
    fill, _ = filling.claim(3, origin, 0)
    filling.end(fill, elsewhere=True)

    assert filling.claim(3, origin, 0) == (None, False)
    until(lambda: filling.claim(3, origin, 0)[0] is not None)


def test_claim__failed_a_moment_ago__only_for_who_waits_for_it(filling, origin):
    fill, _ = filling.claim(3, origin, 0)
    filling.end(fill, StoreError("failed"))

    assert filling.claim(3, origin, 1) == (None, False)
    assert filling.claim(3, origin, 0)[1]


def test_end__many_segments__nothing_is_remembered_of_them(filling, origin):
    for segment in range(1000):
        fill, _ = filling.claim(segment, origin, 0)
        filling.end(fill, StoreError("failed") if segment % 2 else None)

    assert filling.fills == {}
    assert fill.is_done
    assert isinstance(fill.error, StoreError)


def test_claim_verifying__claimed__nobody_else_until_it_ends(filling):
    assert filling.claim_verifying()
    assert not filling.claim_verifying()

    filling.end_verifying()

    assert filling.claim_verifying()


def test_end_verifying__with_an_error__all_readers_fail(filling):
    filling.claim_verifying()

    filling.end_verifying(StoreError("not to be checked"))

    for _ in range(2):
        with pytest.raises(StoreError, match="not to be checked"):
            filling.available(0, 10)


# --- waiting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["stir", "end", "end_verifying", "leave"])
def test_wait__something_changed_since_the_look__returns_at_once(engine, origin, filling, change):
    fill, _ = filling.claim(0, origin, 0)
    engine.fillings.join(filling)
    seen = filling.version

    acts = {
        "stir": filling.stir,
        "end": lambda: filling.end(fill),
        "end_verifying": filling.end_verifying,
        "leave": lambda: engine.fillings.leave(filling),
    }
    acts[change]()

    filling.wait(seen, 1000)  # the time limit of the test would end it
    if change != "leave":
        engine.fillings.leave(filling)


def test_wait__nothing_changes__ends_all_the_same(filling):
    filling.wait(filling.version, 0.01)


def test_available__another_process_writes__seen(engine, origin, filling):
    with engine.blobs.open_partial(origin.blob) as other:
        other.mark(Span(0, BLOCK + 3))

    assert filling.available(0, SEGMENT) == BLOCK + 3


@pytest.mark.parametrize(
    ("blob", "content"),
    [
        (Blob("b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9", 11), b"hello world"),
        (Blob("95d09f2b10159347eece71399a7e2e907ea3df4f", 11), b"hello world"),
        (Blob("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", 0), b""),
    ],
)
def test_content_hash__sha256_or_git__names_the_content(blob, content):
    hash = content_hash(blob)

    hash.update(content)

    assert hash.hexdigest() == blob.etag
