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
from collections.abc import Iterator
from dataclasses import dataclass

from dingospeed import native
from dingospeed.download.fetch import Fetcher, Source
from dingospeed.download.filling import Fill, Filling, Fillings, content_hash
from dingospeed.download.verify import Verifier, hash_span
from dingospeed.errors import ContentMismatch, DingospeedError, StoreError, StoreFull, UpstreamError
from dingospeed.metrics import Metrics
from dingospeed.model import Blob, FileSpan, Piece, Span
from dingospeed.store.blobs import Blobs
from dingospeed.store.blockfile import State

log = logging.getLogger(__name__)

# How long to wait for news: of fillers in this process (who wake us) and in others (who can not).
_HERE_S = 0.25
_ELSEWHERE_S = 0.01
# A reader to whom nothing comes for so long has lost its client long ago.
_PATIENCE_S = 60
# The end of a file that waits for the hash, and into how many parts it is cut: while the
# hash is awaited all but the last trickle out, because a client gives up after ten silent seconds.
_HELD_BACK_BYTES = 1 << 20
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

    def read(self, blob: Blob, span: Span, source: Source) -> Iterator[Piece]:
        """The bytes of *span*, in order, as they become available. Each piece is valid until the next.

        Raises UpstreamError, Refusal or ContentMismatch when the bytes can not be had; what was
        yielded before stays true, but must not be taken for the whole.
        """
        position = span.start
        for last_try in (False,) * (_HEALING_READS - 1) + (True,):
            try:
                for piece in self._read_once(blob, span, source):
                    yield piece
                    position += len(piece)
                return
            except ContentMismatch:
                # What has left can not be called back; what has not can be fetched again.
                if position > span.start or last_try:
                    raise

    def _read_once(self, blob: Blob, span: Span, source: Source) -> Iterator[Piece]:
        for _ in range(_LOOKS):
            fd = self._blobs.open_sealed(blob)
            if fd is not None:
                try:
                    yield FileSpan(fd, span.start, span.stop)
                finally:
                    os.close(fd)
                return
            try:
                filling = self._fillings.enter(blob)
            except StoreFull as error:
                yield from self._straight_through(blob, span, source, None, error)
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
        fill: Fill | None = None
        patience = time.monotonic() + _PATIENCE_S
        while position < span.stop:
            seen = filling.version
            available = filling.available(position)
            stop = min(available, end.open_until(position))
            segment = position // filling.segment_bytes
            if stop > position:
                if segment != asked:  # Read ahead also while the client is busy with what is held.
                    asked = segment
                    fill = self._fetcher.want(filling, Span(position, span.stop), source)
                    self._verifier.ensure(filling)
                try:
                    yield FileSpan(filling.file.fd, position, stop)
                except GeneratorExit:
                    self._abandon(filling, source)
                    raise
                position = stop
                patience = time.monotonic() + _PATIENCE_S
                continue
            if available == position:
                if fill is not None and fill.is_done and fill.error is not None:
                    if isinstance(fill.error, StoreFull):
                        rest = Span(position, span.stop)
                        yield from self._straight_through(filling.blob, rest, source, filling, fill.error)
                        return
                    raise fill.error
                fill = self._fetcher.want(filling, Span(position, span.stop), source)
                if time.monotonic() > patience:
                    raise UpstreamError("nothing arrived for too long")
            self._verifier.ensure(filling)
            is_ours = fill is not None and not fill.is_done
            filling.wait(seen, _HERE_S if is_ours else _ELSEWHERE_S)

    def _straight_through(
        self, blob: Blob, span: Span, source: Source, filling: Filling | None, why: StoreFull
    ) -> Iterator[Piece]:
        """No space: the bytes go from the source to the client, and are checked on the way.

        Checked as long as the part before *span* is held, or there is none.
        """
        log.error("blob %s served straight through: %s", blob.etag[:12], why)
        self._metrics.store_full.inc()
        is_checked = span.stop == blob.size and (
            span.start == 0 or (filling is not None and filling.file.held_until(0) >= span.start)
        )
        if not is_checked:
            yield from source.read(span)
            return
        hash, position, tail = content_hash(blob), span.start, bytearray()
        if filling is not None:
            native.run(hash_span, hash, filling.file.fd, 0, span.start)
        open_until = max(span.start, blob.size - _HELD_BACK_BYTES)
        for piece in source.read(span):
            hash.update(piece)
            free = max(0, min(len(piece), open_until - position))
            position += len(piece)
            if free:
                yield piece[:free]
            tail += piece[free:]
        if hash.hexdigest() != blob.etag:
            self._blobs.count_rejection(blob)
            raise ContentMismatch(blob.etag, hash.hexdigest())
        yield bytes(tail)

    def _abandon(self, filling: Filling, source: Source) -> None:
        """The client left. Fetch the rest of the file all the same, if that is wished."""
        if filling.is_finishing or filling.file.held_bytes() < self._options.finish_share * filling.blob.size:
            return
        filling.is_finishing = True

        def finish() -> None:
            try:
                for _ in self.read(filling.blob, filling.blob.whole, source):
                    pass
            except DingospeedError as error:
                log.warning("abandoned blob %s not finished: %s", filling.blob.etag[:12], error)
            finally:
                filling.is_finishing = False

        threading.Thread(target=finish, name="finish", daemon=True).start()


class _End:
    """How far a reader may go: not to the end of a file whose hash is still unknown."""

    def __init__(self, filling: Filling, span: Span, hold_s: float) -> None:
        self._filling = filling
        self._span = span
        self._hold_s = hold_s
        size = filling.blob.size
        self._from = max(span.start, size - _HELD_BACK_BYTES) if span.stop == size else span.stop
        self._reached: float | None = None
        self._complete: float | None = None

    def open_until(self, position: int) -> int:
        """Where the part that may be sent ends. Raises UpstreamError when the hash does not come."""
        if position < self._from:
            return self._from
        file = self._filling.file
        if file.state is State.SEALED or not self._is_checkable():
            return self._span.stop
        now = time.monotonic()
        self._reached = self._reached or now
        if file.is_complete:
            self._complete = self._complete or now
            if now > self._complete + self._hold_s:
                raise UpstreamError("the content could not be checked in time")
        ticks = int((now - self._reached) * _TRICKLES / self._hold_s)
        return self._from + (self._span.stop - self._from) * min(ticks, _TRICKLES - 1) // _TRICKLES

    def _is_checkable(self) -> bool:
        """Whether this reader's own span is the last that the file lacks."""
        return self._filling.file.held_until(0) >= self._span.start
