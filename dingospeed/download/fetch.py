"""Holes filled: a pool of workers takes one segment each, from the source to the disk.

A segment is filled by the holder of its lease, one among all processes. The nearest to
a reader goes first. What a worker writes is visible at once: bytes first, then the
block's bit, then the word to the readers.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from dingospeed.download.filling import Fill, Filling, Fillings
from dingospeed.errors import DingospeedError
from dingospeed.flight.leases import Lease, Leases
from dingospeed.metrics import Metrics
from dingospeed.model import Span

log = logging.getLogger(__name__)

# How long a segment that another process fills is left alone before its lease is tried again.
_ELSEWHERE_S = 0.1


class Source(Protocol):
    """Where the bytes of one file come from."""

    def read(self, span: Span) -> Iterator[bytes]:
        """Exactly the bytes of *span*, in order, in pieces as they arrive.

        Raises UpstreamError when nobody delivers (any more), Refusal when the file is not given.
        """


class Pool:
    """At most *size* jobs at once, the lowest priority number first. Threads start when needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: queue.PriorityQueue[tuple[int, int, Job]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._threads = 0
        self._idle = 0
        self._lock = threading.Lock()

    def submit(self, job: Job, priority: int) -> None:
        with self._lock:
            self._jobs.put((priority, next(self._order), job))
            if self._idle < self._jobs.qsize() and self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._work, name="fill", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            _, _, job = self._jobs.get()
            with self._lock:
                self._idle -= 1
            try:
                job.run()
            except Exception:
                log.exception("a fill ended in an error nobody foresaw")
            del job  # An idle thread keeps nothing alive.


class Job(Protocol):
    def run(self) -> None: ...


class Fetcher:
    """Makes sure that what readers want next is being filled."""

    def __init__(
        self, *, fillings: Fillings, leases: Leases, pool: Pool, read_ahead: int, metrics: Metrics
    ) -> None:
        self._fillings = fillings
        self._leases = leases
        self._pool = pool
        self._read_ahead = read_ahead
        self._metrics = metrics

    def want(self, filling: Filling, span: Span, source: Source) -> Fill | None:
        """Have *span* filled, as far ahead as allowed; the fill of its first byte.

        None when that byte is held, or another process was at it a moment ago.
        """
        nearest: Fill | None = None
        segments = itertools.islice(span.cells(filling.segment_bytes), self._read_ahead)
        for distance, index in enumerate(segments):
            part = filling.segment(index).overlap(span)
            if part is None or filling.file.held_until(part.start) >= part.stop:
                continue
            fill = self._fill(filling, index, part.start, distance, source)
            if distance == 0:
                nearest = fill
        return nearest

    def _fill(
        self, filling: Filling, index: int, start: int, priority: int, source: Source
    ) -> Fill | None:
        with filling.changed:
            fill = filling.fills.get(index)
            if fill is not None and not fill.is_done:
                return fill
            if fill is not None and fill.is_elsewhere and time.monotonic() < fill.ended_at + _ELSEWHERE_S:
                return None
            fill = filling.fills[index] = Fill(index)
        self._fillings.join(filling)
        self._pool.submit(_FillJob(self, filling, fill, start, source), priority)
        return fill

    def run(self, filling: Filling, fill: Fill, start: int, source: Source) -> None:
        """Fill one segment, the part from *start* on first. For the pool."""
        error: DingospeedError | None = None
        lease = None
        try:
            # A fill that nobody waits for any more was only read-ahead.
            lease = self._leases.try_acquire(filling.key(fill.segment)) if filling.readers else None
            if lease is not None:
                with self._metrics.fills.track_inprogress():
                    for hole in _holes(filling, fill.segment, start):
                        self._fill_hole(filling, fill, hole, lease, source)
        except DingospeedError as failure:
            error = failure
            log.warning("fill of %s segment %d: %s", filling.blob.etag[:12], fill.segment, failure)
        finally:
            if lease is not None:
                lease.release()
            filling.end(fill, error, elsewhere=lease is None)
            self._fillings.leave(filling)

    def _fill_hole(
        self, filling: Filling, fill: Fill, hole: Span, lease: Lease, source: Source
    ) -> None:
        file = filling.file
        position = marked = hole.start
        lease.tell(Span(position, position))
        for piece in source.read(hole):
            file.write(piece, position)
            position += len(piece)
            if position - marked >= file.block_bytes or position == hole.stop:
                file.mark(Span(marked, position))
                marked = position - position % file.block_bytes
            written = Span(hole.start, position)
            lease.tell(written)
            filling.advance(fill, written)


class _FillJob:
    def __init__(
        self, fetcher: Fetcher, filling: Filling, fill: Fill, start: int, source: Source
    ) -> None:
        self._arguments = (filling, fill, start, source)
        self._fetcher = fetcher

    def run(self) -> None:
        self._fetcher.run(*self._arguments)


def _holes(filling: Filling, segment: int, start: int) -> Iterator[Span]:
    """What the segment lacks: from *start*, which somebody waits for, to its end; then the rest."""
    cell = filling.segment(segment)
    yield from filling.file.holes(Span(start, cell.stop))
    yield from filling.file.holes(Span(cell.start, start))
