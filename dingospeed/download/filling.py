"""What one process knows of a blob that is being filled: shared by its readers and fillers.

Here the two meet. Fillers say how far they have come, readers wait for that; neither
hands bytes to the other, only positions, so memory does not grow with slow clients.
Fillers of other processes are seen through the block file and what their leases tell.
"""

from __future__ import annotations

import hashlib
import threading
import time

from dingospeed.errors import ContentMismatch, DingospeedError
from dingospeed.flight.leases import Leases
from dingospeed.model import Blob, Span
from dingospeed.store.blobs import Blobs
from dingospeed.store.blockfile import BlockFile, State


class Fill:
    """One attempt at one segment. Its waiters see how it ended."""

    def __init__(self, segment: int) -> None:
        self.segment = segment
        self.written: Span | None = None
        self.is_done = False
        self.is_elsewhere = False  # Another process holds the lease.
        self.error: DingospeedError | None = None
        self.ended_at = 0.0

    def __repr__(self) -> str:
        state = "done" if self.is_done else "running" if self.written else "waiting"
        return f"<Fill {self.segment} {state} {self.written or ''} {self.error or ''}>"


class Filling:
    """A half-filled blob, open in this process. Made by `Fillings` only."""

    def __init__(self, file: BlockFile, leases: Leases, segment_blocks: int) -> None:
        self.file = file
        self.blob = file.blob
        self.segment_bytes = segment_blocks * file.block_bytes
        self.changed = threading.Condition()
        self.version = 0
        self.fills: dict[int, Fill] = {}
        self.readers = 0
        self.users = 0
        self.is_verifying = False
        self.is_finishing = False
        self.hashed = 0
        self.hash = content_hash(file.blob)
        self.found: str | None = None
        self._leases = leases

    # --- where things are ---------------------------------------------------------

    def key(self, segment: int) -> str:
        """Under which its segment is leased."""
        return f"{self.blob.etag}.{segment}"

    def segment(self, index: int) -> Span:
        return Span(
            index * self.segment_bytes, min((index + 1) * self.segment_bytes, self.blob.size)
        )

    def available(self, start: int) -> int:
        """Where the run of bytes that can be read from *start* on ends; *start* when there is none.

        Raises ContentMismatch when the content turned out to be wrong.
        """
        if self.file.state is State.REJECTED:
            raise ContentMismatch(self.blob.etag, self.found or "another hash")
        held = self.file.held_until(start)
        if held >= self.blob.size:
            return held
        segment = held // self.segment_bytes
        fill = self.fills.get(segment)
        if fill is None or fill.is_done:
            written = self._leases.told(self.key(segment))
        else:
            written = fill.written
        if written is not None and written.start <= held < written.stop <= self.blob.size:
            return written.stop
        return held

    # --- how it goes on -------------------------------------------------------------

    def advance(self, fill: Fill, written: Span) -> None:
        """*fill* has put the bytes of *written* in place."""
        with self.changed:
            fill.written = written
            self._tell()

    def end(self, fill: Fill, error: DingospeedError | None = None, *, elsewhere: bool = False) -> None:
        """*fill* will do no more."""
        with self.changed:
            fill.is_done, fill.error, fill.is_elsewhere = True, error, elsewhere
            fill.ended_at = time.monotonic()
            self._tell()

    def stir(self) -> None:
        """Something else changed that waiters should look at."""
        with self.changed:
            self._tell()

    def wait(self, seen: int, timeout_s: float) -> None:
        """Until something changed since version *seen*, or *timeout_s* have passed."""
        with self.changed:
            if self.version == seen:
                self.changed.wait(timeout_s)

    @property
    def is_being_filled(self) -> bool:
        return any(not fill.is_done for fill in self.fills.values())

    def _tell(self) -> None:
        self.version += 1
        self.changed.notify_all()


class Fillings:
    """The fillings open in this process, one per blob; closed when the last user leaves."""

    def __init__(self, *, blobs: Blobs, leases: Leases, segment_blocks: int) -> None:
        self._blobs = blobs
        self._leases = leases
        self._segment_blocks = segment_blocks
        self._open: dict[str, Filling] = {}
        self._lock = threading.Lock()

    def enter(self, blob: Blob) -> Filling | None:
        """The filling of *blob* for one more reader, made if need be; to be followed by `leave`.

        None when the blob was sealed in between. Raises StoreFull.
        """
        with self._lock:
            filling = self._open.get(blob.etag)
            if filling is None or filling.file.state is not State.FILLING:
                file = self._blobs.open_partial(blob, create=True)
                if file is None:
                    return None
                filling = self._open[blob.etag] = Filling(file, self._leases, self._segment_blocks)
            filling.users += 1
            filling.readers += 1
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
            if filling.users:
                filling.stir()
                return
            if self._open.get(filling.blob.etag) is filling:
                del self._open[filling.blob.etag]
        filling.file.close()

    def drop(self, filling: Filling) -> None:
        """Sealed or rejected: who comes now starts anew, who is here keeps reading."""
        with self._lock:
            if self._open.get(filling.blob.etag) is filling:
                del self._open[filling.blob.etag]
        filling.stir()


def content_hash(blob: Blob) -> hashlib._Hash:
    """A fresh hash of the kind that names *blob*: sha256, or git's sha1 with its prefix."""
    if blob.is_lfs:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % blob.size, usedforsecurity=False)
