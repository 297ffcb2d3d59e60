"""The right to work on a key for now, among the threads and processes of a node.

A lease is an flock on run/<key>. The kernel drops it when its holder dies, however it
dies. The file may tell others how far the work has come: the span written so far, as
three little-endian u64: start, stop, and both xor-ed with a constant, so that a reader
who catches a write half-way sees nothing instead of nonsense. The span stays true for
this boot even after its holder was killed, because the page cache outlives a process.

Always LOCK_NB: a blocking flock stops every greenlet of the worker.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from dingospeed.model import Span

_SPAN = struct.Struct("<QQQ")
_SEAL = 0x64696E676F737065
_POLL_S = 0.01


class Lease:
    """Held from the moment it is made until `release` or the end of the process."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    def tell(self, span: Span) -> None:
        """Let others know that *span* is written."""
        os.pwrite(self._fd, _SPAN.pack(span.start, span.stop, span.start ^ span.stop ^ _SEAL), 0)

    def release(self) -> None:
        """Give the key back. The file goes while the lock is still ours, so none pile up."""
        if self._fd < 0:
            return
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Leases:
    """Hands out leases; *path_of* gives the lease file of a key."""

    def __init__(self, *, path_of: Callable[[str], Path]) -> None:
        self._path_of = path_of

    def try_acquire(self, key: str) -> Lease | None:
        """The lease, or None while someone else, here or in another process, holds it."""
        path = self._path_of(key)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return None
            except BaseException:
                os.close(fd)
                raise
            if _is_still_at(path, fd):
                # What a dead holder told is no longer followed by anybody once we began.
                os.ftruncate(fd, 0)
                return Lease(path, fd)
            os.close(fd)  # Released and removed between our open and our lock.

    def acquire(self, key: str, *, timeout_s: float) -> Lease | None:
        """As `try_acquire`, but waits. None when *timeout_s* have passed."""
        deadline = time.monotonic() + timeout_s
        while True:
            lease = self.try_acquire(key)
            if lease is not None or time.monotonic() >= deadline:
                return lease
            time.sleep(_POLL_S)

    def told(self, key: str) -> Span | None:
        """What the holder of *key* has told, None when nothing."""
        try:
            fd = os.open(self._path_of(key), os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            raw = os.pread(fd, _SPAN.size, 0)
        finally:
            os.close(fd)
        if len(raw) < _SPAN.size:
            return None
        start, stop, check = _SPAN.unpack(raw)
        return Span(start, stop) if start ^ stop ^ _SEAL == check and start <= stop else None


def _is_still_at(path: Path, fd: int) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)
