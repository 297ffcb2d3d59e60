"""What one process knows of a blob that is being filled: shared by its readers and fillers.

Here the two meet. Fillers say that they got further, readers look how far on the disk;
neither hands bytes to the other, so memory does not grow with slow clients. Fillers of
other processes are seen through the block file alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from dingospeed.errors import ContentMismatch, DingospeedError
from dingospeed.model import Blob, Span
from dingospeed.store.blobs import Blobs
from dingospeed.store.blockfile import BlockFile
from dingospeed.store.content import content_hash
from dingospeed.store.header import State

# How long work that another process does is left alone before its lease is tried again, and
# how long a segment whose fill failed, until somebody waits for it.
_ELSEWHERE_S = 0.1
_FAILED_S = 1.0


class Source(Protocol):
    """Where the bytes of one file come from."""

    def read(self, span: Span) -> Iterator[bytes]:
        """Exactly the bytes of *span*, in order, in pieces as they arrive.

        Raises UpstreamError when nobody delivers (any more), Refusal when the file is not given.
        """


class Fill:
    """One attempt at one segment, on behalf of one *source*. Its waiters see how it ended."""

    def __init__(self, segment: int, source: Source, distance: int) -> None:
        self.segment = segment
        self.source = source
        self.distance = distance  # In segments, from the nearest reader.
        self.got_on = False  # It brought something, even if it failed later.
        self.is_done = False
        self.error: DingospeedError | None = None

    def __repr__(self) -> str:
        return f"<Fill {self.segment} {'done' if self.is_done else 'live'} {self.error or ''}>"


class Filling:
    """A half-filled blob, open in this process. Made by `Fillings` only."""

    def __init__(self, file: BlockFile) -> None:
        self.file = file
        self.blob = file.blob
        self.segment_bytes = file.segment_bytes
        self.changed = threading.Condition()
        self.version = 0
        self.fills: dict[int, Fill] = {}
        self.readers = 0
        self.users = 0
        self.is_verifying = False
        self.is_right = False  # The whole content has the right hash, though it may not be sealed yet.
        self.is_finishing = False
        self.failure: DingospeedError | None = None
        # A hash of the content's beginning, and where that ends. Replaced, never changed.
        self.hashed = (content_hash(file.blob), 0)
        self._left_alone: dict[str, float] = {}

    # --- where things are ---------------------------------------------------------

    def key(self, segment: int) -> str:
        """Under which its segment is leased."""
        return f"{self.blob.etag}.{segment}"

    def segment(self, index: int) -> Span:
        return Span(index * self.segment_bytes, min((index + 1) * self.segment_bytes, self.blob.size))

    def available(self, start: int, stop: int) -> int:
        """Where the run of bytes that can be read from *start* on ends; *start* when there is none.

        Looks hardly further than *stop*. Raises ContentMismatch when the content turned out to
        be wrong, StoreError when it could not be checked.
        """
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        if self.file.state is State.REJECTED:
            raise ContentMismatch(self.blob.etag, "another hash")
        return self.file.available(start, stop)

    # --- how it goes on -------------------------------------------------------------

    def claim(self, segment: int, source: Source, distance: int) -> tuple[Fill | None, bool]:
        """The live fill of *segment*, and whether it was made just now and has to be run.

        None shortly after another process was found at it, or it failed and is only read-ahead.
        """
        with self.changed:
            fill = self.fills.get(segment)
            if fill is not None:
                fill.distance = min(fill.distance, distance)
                return fill, False
            if self._is_left_alone(f"{segment}") or (distance and self._is_left_alone(f"failed {segment}")):
                return None, False
            fill = self.fills[segment] = Fill(segment, source, distance)
            return fill, True

    def end(self, fill: Fill, error: DingospeedError | None = None, *, elsewhere: bool = False) -> None:
        """*fill* will do no more. *elsewhere*: because another process is at it."""
        with self.changed:
            fill.is_done, fill.error = True, error
            del self.fills[fill.segment]
            if elsewhere:
                self._leave_alone(f"{fill.segment}", _ELSEWHERE_S)
            if error is not None:
                self._leave_alone(f"failed {fill.segment}", _FAILED_S)
            self._tell()

    def claim_verifying(self) -> bool:
        """Whether the caller is the one to verify now; then `end_verifying` follows."""
        with self.changed:
            if self.is_verifying or self._is_left_alone("verify"):
                return False
            self.is_verifying = True
            return True

    def end_verifying(self, error: DingospeedError | None = None, *, elsewhere: bool = False) -> None:
        """Nobody verifies here any more; with an *error* all readers fail."""
        with self.changed:
            self.is_verifying = False
            self.failure = self.failure or error
            if elsewhere:
                self._leave_alone("verify", _ELSEWHERE_S)
            self._tell()

    def call_right(self) -> None:
        """All of the content was found to be what it should be: nothing is held back any more."""
        with self.changed:
            self.is_right = True
            self._tell()

    def stir(self) -> None:
        """Something changed that waiters should look at."""
        with self.changed:
            self._tell()

    def wait(self, seen: int, timeout_s: float) -> None:
        """Until something changed since version *seen*, or *timeout_s* have passed."""
        with self.changed:
            if self.version == seen:
                self.changed.wait(timeout_s)

    def _is_left_alone(self, what: str) -> bool:
        return time.monotonic() < self._left_alone.get(what, 0.0)

    def _leave_alone(self, what: str, for_s: float) -> None:
        now = time.monotonic()
        # Only what still counts: a huge file has many segments.
        self._left_alone = {other: until for other, until in self._left_alone.items() if until > now}
        self._left_alone[what] = now + for_s

    def _tell(self) -> None:
        self.version += 1
        self.changed.notify_all()


class Fillings:
    """The fillings open in this process, one per blob; closed when the last user leaves."""

    def __init__(self, *, blobs: Blobs, segment_blocks: int) -> None:
        self._blobs = blobs
        self._segment_blocks = segment_blocks
        self._open: dict[str, Filling] = {}
        self._hearers: list[Callable[[str], object]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def when_opened(self, hear: Callable[[str], object]) -> None:
        """Have *hear* called with the etag of each that is opened from now on; it must not wait."""
        self._hearers.append(hear)

    def etags(self) -> set[str]:
        """Of all that are open now."""
        with self._lock:
            return set(self._open)

    def enter(self, blob: Blob) -> Filling | None:
        """The filling of *blob* for one more reader, made if need be; to be followed by `leave`.

        None when the blob was sealed in between. Raises StoreFull.
        """
        filling = self._entered(blob)
        if filling is not None:
            return filling
        file = self._blobs.open_partial(blob, segment_blocks=self._segment_blocks)
        if file is None:
            return None
        filling = self._entered(blob, file)
        if filling is None or filling.file is not file:
            file.close()  # Another reader was quicker.
        return filling

    def join(self, filling: Filling) -> None:
        """One more user of an open *filling*; to be followed by `leave`."""
        with self._lock:
            filling.users += 1

    def leave(self, filling: Filling, *, reading: bool = False) -> None:
        """A user less; the last one closes."""
        with self._lock:
            filling.users -= 1
            filling.readers -= reading
            is_last = not filling.users
            if is_last:
                self._forget(filling)
        if is_last:
            filling.file.close()
        else:
            filling.stir()

    def drop(self, filling: Filling) -> None:
        """Of no more use for filling: who comes now starts anew, who is here keeps reading."""
        with self._lock:
            self._forget(filling)
        filling.stir()

    def _entered(self, blob: Blob, file: BlockFile | None = None) -> Filling | None:
        """The open filling of *blob*, else one made of *file* if there is one, with one more reader."""
        with self._lock:
            filling = self._open.get(blob.etag)
            if filling is None or filling.blob != blob or filling.file.state is not State.FILLING:
                if file is None:
                    return None
                filling = self._open[blob.etag] = Filling(file)
                for hear in self._hearers:
                    hear(blob.etag)
            filling.users += 1
            filling.readers += 1
            return filling

    def _forget(self, filling: Filling) -> None:
        if self._open.get(filling.blob.etag) is filling:
            del self._open[filling.blob.etag]
