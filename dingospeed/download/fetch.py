"""Holes filled: a pool of workers takes one segment each, from the source to the disk.

A segment is filled by the holder of its lease, one among all processes. The nearest to
a reader goes first. What a worker writes is visible at once: bytes first, then the word
that they are there.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Protocol

from dingospeed.download.filling import Fill, Filling, Fillings, Source
from dingospeed.errors import DingospeedError, StoreError, UpstreamError
from dingospeed.flight.leases import Leases
from dingospeed.metrics import Metrics
from dingospeed.model import Span

log = logging.getLogger(__name__)


class Job(Protocol):
    """Work for the pool; the lowest *distance* goes first, whatever it was when submitted."""

    @property
    def distance(self) -> int: ...

    def run(self) -> None: ...


class Pool:
    """At most *size* jobs at once. Threads start when needed, and stay.

    And as many again of those that are urgent, with a negative distance: what another node waits for
    must not wait for jobs that may themselves wait for that node.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: list[Job] = []
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._hurrying = 0

    def submit(self, job: Job) -> None:
        with self._changed:
            self._waiting.append(job)
            if len(self._waiting) > self._idle and self._threads < self._size:
                threading.Thread(target=self._work, name="fill", daemon=True).start()
                self._threads += 1
            self._changed.notify()

    def hurry(self) -> None:
        """Some job has become urgent, or was submitted as such."""
        with self._changed:
            urgent = sum(job.distance < 0 for job in self._waiting)
            if urgent > self._idle and self._hurrying < self._size:
                threading.Thread(target=self._work_urgently, name="urgent", daemon=True).start()
                self._hurrying += 1

    def _work(self) -> None:
        while True:
            job = self._next()
            _run(job)
            del job  # An idle thread keeps nothing alive.

    def _work_urgently(self) -> None:
        while (job := self._next_urgent()) is not None:
            _run(job)

    def _next_urgent(self) -> Job | None:
        with self._changed:
            job = min(self._waiting, key=lambda waiting: waiting.distance, default=None)
            if job is None or job.distance >= 0:
                self._hurrying -= 1
                return None
            self._waiting.remove(job)
            return job

    def _next(self) -> Job:
        with self._changed:
            self._idle += 1
            while not self._waiting:
                self._changed.wait()
            self._idle -= 1
            job = min(self._waiting, key=lambda waiting: waiting.distance)
            self._waiting.remove(job)
            return job


def _run(job: Job) -> None:
    try:
        job.run()
    except Exception:
        log.exception("a fill ended in an error nobody foresaw")


class Fetcher:
    """Makes sure that what readers want next is being filled; what the *is_urgent* one's want, first.

    *on_want* hears that somebody wants more.
    """

    def __init__(
        self,
        *,
        fillings: Fillings,
        leases: Leases,
        pool: Pool,
        read_ahead: int,
        metrics: Metrics,
        on_want: Callable[[], None] = lambda: None,
        is_urgent: bool = False,
    ) -> None:
        self._fillings = fillings
        self._leases = leases
        self._pool = pool
        self._read_ahead = read_ahead
        self._metrics = metrics
        self._on_want = on_want
        self._is_urgent = is_urgent

    def want(self, filling: Filling, span: Span, source: Source) -> Fill | None:
        """Have *span* filled, as far ahead as allowed; the fill of its first byte.

        None when that byte is held, or another process was at it a moment ago.
        """
        self._on_want()
        nearest: Fill | None = None
        segments = itertools.islice(span.cells(filling.segment_bytes), self._read_ahead)
        for distance, index in enumerate(segments):
            part = filling.segment(index).overlap(span)
            if part is None or filling.file.held_until(part.start, part.stop) >= part.stop:
                continue
            fill, is_new = filling.claim(index, source, -1 if self._is_urgent else distance)
            if fill is not None and is_new:
                self._fillings.join(filling)
                self._pool.submit(_FillJob(self, filling, fill, part.start))
            if self._is_urgent:
                self._pool.hurry()
            if distance == 0:
                nearest = fill
        return nearest

    def run(self, filling: Filling, fill: Fill, start: int) -> None:
        """Fill one segment, the part from *start* on first. For the pool."""
        error: DingospeedError | None = None
        is_elsewhere = False
        try:
            # A fill that nobody waits for any more was only read-ahead.
            if filling.readers:
                is_elsewhere = not self._fill_alone(filling, fill, start)
        except DingospeedError as failure:
            error = failure
            log.warning("fill of %s segment %d: %s", filling.blob.etag[:12], fill.segment, failure)
        except Exception as failure:
            error = StoreError(f"a fill failed: {failure}")
            log.exception("fill of %s segment %d", filling.blob.etag[:12], fill.segment)
        finally:
            if error is not None:
                self._metrics.fill_results.labels("failed").inc()
            filling.end(fill, error, elsewhere=is_elsewhere)
            self._fillings.leave(filling)

    def _fill_alone(self, filling: Filling, fill: Fill, start: int) -> bool:
        """Fill under the segment's lease; False when another process has it."""
        lease = self._leases.try_acquire(filling.key(fill.segment))
        if lease is None:
            self._metrics.fill_results.labels("elsewhere").inc()
            return False
        with lease, self._metrics.fills.track_inprogress():
            for hole in _holes(filling, fill.segment, start):
                self._fill_hole(filling, fill, hole)
        self._metrics.fill_results.labels("complete").inc()
        return True

    def _fill_hole(self, filling: Filling, fill: Fill, hole: Span) -> None:
        file, position = filling.file, hole.start
        with closing(exactly(fill.source, hole)) as pieces:
            for piece in pieces:
                # A hole may begin where an earlier fill broke off, in the middle of a block.
                block = position - position % file.block_bytes
                file.write(piece, position)
                position += len(piece)
                file.mark(Span(block, position))
                fill.got_on = True
                filling.stir()
                if fill.distance:
                    # A source that is quicker than we are never makes us wait. And the nearest goes first:
                    # what comes in order leaves at once, and is hashed at once.
                    time.sleep(0)


class _FillJob:
    def __init__(self, fetcher: Fetcher, filling: Filling, fill: Fill, start: int) -> None:
        self._fetcher = fetcher
        self._arguments = (filling, fill, start)
        self._fill = fill

    @property
    def distance(self) -> int:
        return self._fill.distance

    def run(self) -> None:
        self._fetcher.run(*self._arguments)


def exactly(source: Source, span: Span) -> Generator[bytes, None, None]:
    """The bytes of *span* from *source*, which is closed at the end.

    Raises UpstreamError when they are fewer, or before there are more.
    """
    left = len(span)
    if not left:
        return
    pieces = source.read(span)
    try:
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                raise UpstreamError("the source gave more bytes than it was asked for")
            yield piece
        if left:
            raise UpstreamError(f"the source ended {left} bytes early")
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _holes(filling: Filling, segment: int, start: int) -> Iterator[Span]:
    """What the segment lacks: from *start*, which somebody waits for, to its end; then the rest.

    But before all what a block lacks that was begun: its beginning may have been read, and
    must not be fetched again.
    """
    cell, file = filling.segment(segment), filling.file
    begun = file.begun(segment)
    if begun is not None:
        yield begun
    yield from file.holes(Span(start, cell.stop))
    yield from file.holes(Span(cell.start, start))
