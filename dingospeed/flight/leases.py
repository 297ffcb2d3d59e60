"""The right to work on a key for now, among the threads and processes of a node.

A lease is an flock on run/<key>. The kernel drops it when its holder dies, however it
dies; the empty file that is then left over is in nobody's way.

Always LOCK_NB: a blocking flock stops every greenlet of the worker.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from dingospeed.errors import StoreError
from dingospeed.store.places import stands_at
from dingospeed.store.space import full_disk_is_ours

_POLL_S = 0.01


class Lease:
    """Held from the moment it is made until `release` or the end of the process."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    def release(self) -> None:
        """Give the key back. The file goes while the lock is still ours, so none pile up."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            # Who emptied the directory under us made room for another's file: that one stays.
            if stands_at(self._path, fd):
                self._path.unlink(missing_ok=True)
        finally:
            os.close(fd)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Leases:
    """Hands out leases; *path_of* gives the lease file of a key.

    *observe* is told of each wait for a lease, in seconds.
    """

    def __init__(
        self, *, path_of: Callable[[str], Path], observe: Callable[[float], None] = lambda waited_s: None
    ) -> None:
        self._path_of = path_of
        self._observe = observe

    def try_acquire(self, key: str) -> Lease | None:
        """The lease, or None while someone else, here or in another process, holds it.

        Raises StoreError when no lease file can be made, StoreFull for want of space.
        """
        path = self._path_of(key)
        try:
            with full_disk_is_ours():
                return _acquire(path)
        except OSError as error:
            raise StoreError(f"no lease on {key}: {error}") from error

    def acquire(self, key: str, *, timeout_s: float) -> Lease | None:
        """As `try_acquire`, but waits. None when *timeout_s* have passed."""
        began = time.monotonic()
        lease = self.try_acquire(key)
        if lease is not None:
            return lease
        while lease is None and time.monotonic() < began + timeout_s:
            time.sleep(_POLL_S)
            lease = self.try_acquire(key)
        self._observe(time.monotonic() - began)
        return lease


def _acquire(path: Path) -> Lease | None:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stands_at(path, fd):
                return Lease(path, fd)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # Released and removed between our open and our lock.
