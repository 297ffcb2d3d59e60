"""Spans read: what is held goes out as positions in the file, what is missing is waited for.

The reader of a half-filled blob walks its span: as far as the disk goes, yield; where it
ends, see that a fill runs, wait, look again. The end of the file is held back until the
hash is right, so nobody ever completes a wrong file.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from dingospeed.download.fetch import Fetcher
from dingospeed.download.filling import Fill, Filling, Fillings, Source
from dingospeed.download.straight import HELD_BACK_BYTES, straight_through
from dingospeed.download.verify import Verifier
from dingospeed.errors import ContentMismatch, DingospeedError, StoreError, StoreFull, UpstreamError
from dingospeed.metrics import Metrics
from dingospeed.model import Blob, FileSpan, Piece, Span
from dingospeed.store.blobs import Blobs
from dingospeed.store.header import State

log = logging.getLogger(__name__)

# How long to wait for news: of fillers in this process (who wake us) and in others (who can not).
_HERE_S = 0.25
_ELSEWHERE_S = 0.01
# A reader whose segment does not grow for so long has lost its client long ago.
_PATIENCE_S = 60
# Into how many parts the end of a span is cut that waits for the hash: all but the last
# trickle out meanwhile, because a client gives up after ten silent seconds.
_TRICKLES = 32
# Reads of content that came wrong, as long as nothing of it has left for the client.
_HEALING_READS = 3
# Between "not sealed" and "no longer half-filled" another process may have sealed it; more often is a fault.
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """*hold_s*: how long the end of a file may be held back for its hash.

    *finish_share*: a file abandoned by its reader is fetched to its end when at least
    this share of it is held; above 1 means never.
    """

    hold_s: float
    finish_share: float


class Reader:
    """Reads spans of blobs, filling what is missing from a source."""

    def __init__(
        self,
        *,
        blobs: Blobs,
        fillings: Fillings,
        fetcher: Fetcher,
        verifier: Verifier,
        options: ReaderOptions,
        metrics: Metrics,
    ) -> None:
        self._blobs = blobs
        self._fillings = fillings
        self._fetcher = fetcher
        self._verifier = verifier
        self._options = options
        self._metrics = metrics

    def read(
        self, blob: Blob, span: Span, source: Source, *, is_kept: bool = True
    ) -> Generator[Piece, None, None]:
        """The bytes of *span*, in order, as they become available. Each piece is valid until the next.

        When it is not to be kept, what is not held already goes straight through.
        Raises UpstreamError, Refusal or ContentMismatch when the bytes can not be had; what was
        yielded before stays true, but must not be taken for the whole.
        """
        if span.stop > blob.size:
            raise ValueError(f"{span} is not within {blob}")
        if blob.size and not len(span):
            return
        position = span.start
        for last_try in (False,) * (_HEALING_READS - 1) + (True,):
            try:
                with closing(self._read_once(blob, span, source, is_kept=is_kept)) as pieces:
                    for piece in pieces:
                        yield piece
                        position += len(piece)
                return
            except ContentMismatch:
                # What has left can not be called back; what has not can be fetched again.
                if position > span.start or last_try:
                    raise

    def _read_once(
        self, blob: Blob, span: Span, source: Source, *, is_kept: bool = True
    ) -> Generator[Piece, None, None]:
        for _ in range(_LOOKS):
            fd = self._blobs.open_sealed(blob)
            if fd is not None:
                try:
                    yield FileSpan(fd, span.start, span.stop)
                finally:
                    os.close(fd)
                return
            if not is_kept:
                yield from self._straight_through(blob, span, source, None)
                return
            try:
                filling = self._fillings.enter(blob)
            except StoreFull as error:
                self._note_full(blob, error)
                yield from self._straight_through(blob, span, source, None)
                return
            if filling is None:
                continue  # Sealed in between.
            try:
                yield from self._walk(filling, span, source)
            finally:
                self._fillings.leave(filling, reading=True)
            return
        raise StoreError(f"blob {blob.etag} can neither be read nor filled")

    def _walk(self, filling: Filling, span: Span, source: Source) -> Iterator[Piece]:
        position, asked = span.start, -1
        end = _End(filling, span, self._options.hold_s)
        patience = _Patience(filling)
        fill: Fill | None = None
        self._verifier.ensure(filling)
        while position < span.stop:
            seen = filling.version
            segment = position // filling.segment_bytes
            available = filling.available(position, span.stop)
            # At most a segment at once, for the sake of those that are still to be fetched.
            stop = min(available, end.open_until(position), filling.segment(segment).stop)
            if stop > position:
                if segment != asked:  # Read ahead also while the client is busy with what is held.
                    asked = segment
                    self._fetcher.want(filling, Span(position, span.stop), source)
                try:
                    yield FileSpan(filling.file.fd, position, stop)
                except GeneratorExit:
                    self._abandon(filling, source)
                    raise
                position, fill = stop, None
                continue
            if available < span.stop:  # Though we may be held back before that: it must come all the same.
                if fill is not None and fill.is_done and fill.error is not None:
                    if isinstance(fill.error, StoreFull):
                        rest = Span(position, span.stop)
                        self._note_full(filling.blob, fill.error)
                        yield from self._straight_through(filling.blob, rest, source, filling)
                        return
                    # What got on is worth another try. And a source that fails others, for want
                    # of rights perhaps, need not fail us.
                    if fill.source is source and not fill.got_on:
                        raise fill.error.with_traceback(None)
                fill = self._fetcher.want(filling, Span(available, span.stop), source)
                patience.check(available // filling.segment_bytes)
            self._verifier.ensure(filling)
            is_ours = fill is not None and not fill.is_done
            filling.wait(seen, _HERE_S if is_ours else _ELSEWHERE_S)

    def _note_full(self, blob: Blob, why: StoreFull) -> None:
        log.error("blob %s served straight through: %s", blob.etag[:12], why)
        self._metrics.store_full.inc()

    def _straight_through(
        self, blob: Blob, span: Span, source: Source, filling: Filling | None
    ) -> Iterator[Piece]:
        try:
            yield from straight_through(blob, span, source, filling)
        except ContentMismatch:
            self._blobs.count_rejection(blob)
            raise

    def _abandon(self, filling: Filling, source: Source) -> None:
        """The client left. Fetch the rest of the file all the same, if that is wished."""
        if filling.is_finishing or filling.file.held_bytes() < self._options.finish_share * filling.blob.size:
            return
        filling.is_finishing = True
        threading.Thread(target=self._finish, args=(filling, source), name="finish", daemon=True).start()

    def _finish(self, filling: Filling, source: Source) -> None:
        try:
            with closing(self._read_once(filling.blob, filling.blob.whole, source)) as pieces:
                for piece in pieces:
                    if isinstance(piece, bytes):
                        return  # Straight through, and to nobody.
        except (DingospeedError, OSError) as error:
            log.warning("abandoned blob %s not finished: %s", filling.blob.etag[:12], error)
        finally:
            filling.is_finishing = False


class _End:
    """How far a reader may go: not to the end of a file whose hash is still unknown.

    The last reader to finish is the one that completes a client's file, whichever part it
    reads: to a file that is complete and not yet checked every reader is the last one.
    """

    def __init__(self, filling: Filling, span: Span, hold_s: float) -> None:
        self._filling = filling
        self._span = span
        self._hold_s = hold_s
        self._is_last_part = span.stop == filling.blob.size
        # A few bytes from the middle are no part of a download.
        is_held_back = self._is_last_part or len(span) >= HELD_BACK_BYTES
        self._from = max(span.start, span.stop - HELD_BACK_BYTES) if is_held_back else span.stop
        self._reached: float | None = None
        self._complete: float | None = None

    def open_until(self, position: int) -> int:
        """Where the part that may be sent ends. Raises UpstreamError when the hash does not come."""
        if position < self._from:
            return self._from
        if self._filling.is_right:
            return self._span.stop
        file = self._filling.file
        is_complete = file.is_complete
        if file.state is State.SEALED or not (is_complete or self._completes()):
            return self._span.stop
        now = time.monotonic()
        self._reached = self._reached or now
        if is_complete:
            self._complete = self._complete or now
            if now > self._complete + self._hold_s:
                raise UpstreamError("the content could not be checked in time")
        waited = (now - self._reached) / self._hold_s if self._hold_s else 1.0
        ticks = min(int(waited * _TRICKLES), _TRICKLES - 1)
        return self._from + (self._span.stop - self._from) * ticks // _TRICKLES

    def _completes(self) -> bool:
        """Whether this reader's own span is the last that the file lacks."""
        start = self._span.start
        return self._is_last_part and self._filling.file.available(0, start) >= start


class _Patience:
    """Raises UpstreamError when the segment waited for does not grow."""

    def __init__(self, filling: Filling) -> None:
        self._filling = filling
        self._seen: tuple[int, bytes] | None = None
        self._until = 0.0

    def check(self, segment: int) -> None:
        seen = (segment, self._filling.file.progress(segment))
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._until = seen, now + _PATIENCE_S
        elif now > self._until:
            raise UpstreamError("nothing arrived for too long")
