from __future__ import annotations

import threading
from functools import partial

import pytest

from dingospeed.download.fetch import Pool, exactly
from dingospeed.errors import Refusal, StoreFull, UpstreamError
from dingospeed.model import Span

BLOCK = 16 << 10
SEGMENT = 8 * BLOCK


class Job:
    def __init__(self, act, distance=0):
        self.act = act
        self.distance = distance

    def run(self):
        self.act()


# --- the pool --------------------------------------------------------------------------------


def test_submit__more_jobs_than_threads__never_more_at_once(until):
    pool, lock = Pool(3), threading.Lock()
    running, most, done = 0, 0, 0

    def act():
        nonlocal running, most, done
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1
            done += 1

    for _ in range(50):
        pool.submit(Job(act))

    until(lambda: done == 50)
    assert most <= 3


def test_hurry__all_threads_wait_for_somebody__what_is_urgent_runs_all_the_same(until):
    pool, ends, ran = Pool(2), threading.Event(), []
    for _ in range(2):
        pool.submit(Job(lambda: ends.wait(60)))
    became_urgent = Job(lambda: ran.append("became urgent"), distance=5)
    pool.submit(became_urgent)
    pool.submit(Job(lambda: ran.append("not urgent"), distance=1))
    pool.submit(Job(lambda: ran.append("urgent"), distance=-1))
    became_urgent.distance = -1

    pool.hurry()

    until(lambda: len(ran) == 2)
    assert sorted(ran) == ["became urgent", "urgent"]
    ends.set()
    until(lambda: "not urgent" in ran)


def test_submit__two_jobs_that_wait_for_each_other__both_run():
    """A thread that was idle and has just been given a job does not count as idle."""
    pool = Pool(2)
    for _ in range(300):
        together, met = threading.Barrier(2), threading.Semaphore(0)

        def meet(together=together, met=met):
            together.wait(60)
            met.release()

        pool.submit(Job(meet))
        pool.submit(Job(meet))

        assert met.acquire(timeout=60)
        assert met.acquire(timeout=60)


def test_submit__nearer_meanwhile__goes_first(make_gate, until):
    pool, gate, order = Pool(1), make_gate(0), list[str]()
    pool.submit(Job(gate.pass_through))
    gate.is_reached()
    jobs = [Job(partial(order.append, name), distance) for distance, name in enumerate("abc", 2)]
    for job in jobs:
        pool.submit(job)

    jobs[2].distance = 0
    gate.opens()

    until(lambda: len(order) == 3)
    assert order == ["c", "a", "b"]


def test_submit__a_job_fails__the_next_one_runs():
    pool, done = Pool(1), threading.Event()

    pool.submit(Job(partial(int, "no number")))
    pool.submit(Job(done.set))

    assert done.wait(60)


# --- wanting -----------------------------------------------------------------------------------


@pytest.fixture
def origin(make_origin):
    return make_origin(10 * SEGMENT)


@pytest.fixture
def filling(engine, origin, until):
    filling = engine.fillings.enter(origin.blob)
    yield filling
    engine.fillings.leave(filling, reading=True)
    until(lambda: len(engine.fillings) == 0)


def test_want__nothing_held__as_many_segments_as_read_ahead_says(engine, filling, origin, until):
    fill = engine.fetcher.want(filling, Span(2 * SEGMENT + 5, origin.blob.size), origin)

    until(lambda: not filling.fills)
    assert fill.segment == 2
    assert list(filling.file.holes(origin.blob.whole)) == [
        Span(0, 2 * SEGMENT),
        Span(6 * SEGMENT, 10 * SEGMENT),
    ]


def test_want__from_the_middle_of_a_segment__that_first_and_then_the_rest(engine, filling, origin, until):
    engine.fetcher.want(filling, Span(SEGMENT + 3 * BLOCK + 5, SEGMENT + 4 * BLOCK), origin)

    until(lambda: not filling.fills)
    assert origin.asked == [
        Span(SEGMENT + 3 * BLOCK, 2 * SEGMENT),
        Span(SEGMENT, SEGMENT + 3 * BLOCK),
    ]


def test_want__part_of_it_held__only_the_holes_are_asked_for(engine, filling, origin, until):
    filling.file.mark(Span(BLOCK, 2 * BLOCK))
    filling.file.mark(Span(5 * BLOCK, 7 * BLOCK))

    engine.fetcher.want(filling, Span(0, SEGMENT), origin)

    until(lambda: not filling.fills)
    assert origin.asked == [Span(0, BLOCK), Span(2 * BLOCK, 5 * BLOCK), Span(7 * BLOCK, 8 * BLOCK)]


def test_want__all_held__nothing(engine, filling, origin):
    filling.file.mark(origin.blob.whole)

    assert engine.fetcher.want(filling, origin.blob.whole, origin) is None
    assert origin.asked == []


def test_want__block_left_half_way_by_a_fill_that_died__not_one_of_its_bytes_again(
    engine, filling, origin, until
):
    filling.file.write(origin.content[BLOCK : BLOCK + 100], BLOCK)
    filling.file.mark(Span(BLOCK, BLOCK + 100))

    engine.fetcher.want(filling, Span(4 * BLOCK, SEGMENT), origin)

    until(lambda: not filling.fills)
    assert origin.asked[0] == Span(BLOCK + 100, 2 * BLOCK)
    assert origin.sent_bytes == SEGMENT - 100


def test_want__another_process_has_the_lease__left_to_it_and_tried_again(engine, filling, origin, until):
    with engine.leases.try_acquire(filling.key(0)):
        fill = engine.fetcher.want(filling, Span(0, SEGMENT), origin)
        until(lambda: fill.is_done)
        assert fill.error is None
        assert origin.asked == []

    until(lambda: engine.fetcher.want(filling, Span(0, SEGMENT), origin) is not None)
    until(lambda: filling.file.held_until(0) >= SEGMENT)


def test_want__filled_by_another_process_before_the_lease_was_ours__not_fetched_again(
    engine, filling, origin, until, monkeypatch
):
    try_acquire = engine.leases.try_acquire

    def acquired_late(key):
        filling.file.mark(Span(0, SEGMENT))
        return try_acquire(key)

    monkeypatch.setattr(engine.leases, "try_acquire", acquired_late)
    fill = engine.fetcher.want(filling, Span(0, SEGMENT), origin)

    until(lambda: fill.is_done)
    assert origin.asked == []


def test_want__read_ahead_failed_a_moment_ago__not_asked_again_at_every_look(
    engine, filling, origin, until, make_gate
):
    class FirstSegmentOnly:
        gate = make_gate(0)
        asked = 0

        def read(self, span):
            if span.start == 0:
                self.gate.pass_through()
                yield from origin.read(span)
            self.asked += 1
            raise UpstreamError("no more")

    source = FirstSegmentOnly()
    for _ in range(50):
        engine.fetcher.want(filling, Span(0, 2 * SEGMENT), source)
        until(lambda: list(filling.fills) == [0])
    source.gate.opens()

    assert source.asked < 10
    until(lambda: not filling.fills)


def test_want__disk_full__says_so_and_lets_go_of_the_source(engine, filling, origin, until, monkeypatch):
    def full(*_args):
        raise StoreFull("no space")

    monkeypatch.setattr(filling.file, "write", full)
    fill = engine.fetcher.want(filling, Span(0, SEGMENT), origin)

    until(lambda: fill.is_done)
    assert isinstance(fill.error, StoreFull)
    assert origin.is_open == 0  # though the error still knows of it


@pytest.mark.parametrize("error", [UpstreamError("gone"), Refusal("no"), KeyError("unforeseen")])
def test_want__source_fails__waiters_hear_of_it_and_the_lease_is_free(engine, filling, origin, until, error):
    origin.fails_at(100, error)

    fill = engine.fetcher.want(filling, Span(0, SEGMENT), origin)

    until(lambda: fill.is_done)
    assert str(error.args[0]) in str(fill.error)
    assert filling.available(0, SEGMENT) == 100
    engine.leases.try_acquire(filling.key(0)).release()


# --- exactly what was asked ------------------------------------------------------------------------


class Pieces:
    def __init__(self, *pieces):
        self._pieces = pieces
        self._given = None
        self.is_closed = False

    def read(self, span):
        self._given = self._read()  # Kept: it does not close because nobody knows of it.
        return self._given

    def _read(self):
        try:
            yield from self._pieces
        finally:
            self.is_closed = True


def test_exactly__the_right_number__all():
    assert b"".join(exactly(Pieces(b"ab", b"", b"c"), Span(5, 8))) == b"abc"


def test_exactly__fewer__raises_at_the_end():
    pieces = exactly(Pieces(b"ab"), Span(5, 8))

    assert next(pieces) == b"ab"
    with pytest.raises(UpstreamError, match="1 bytes early"):
        next(pieces)


def test_exactly__more__raises_before_they_are_given():
    source = Pieces(b"ab", b"cd")
    pieces = exactly(source, Span(5, 8))

    assert next(pieces) == b"ab"
    with pytest.raises(UpstreamError, match="more bytes"):
        next(pieces)
    assert source.is_closed


def test_exactly__left_half_way__source_is_closed():
    source = Pieces(b"ab", b"cd")
    pieces = exactly(source, Span(5, 9))
    next(pieces)

    pieces.close()

    assert source.is_closed


def test_exactly__nothing_asked__source_is_not_bothered():
    class Nobody:
        def read(self, span):
            raise AssertionError

    assert list(exactly(Nobody(), Span(5, 5))) == []
