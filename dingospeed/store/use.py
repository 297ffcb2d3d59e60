"""Whether anybody has the file of a blob open: a lock on the open file, shared by all who use it.

Readers and fillers share it for as long as they have the file open; then the kernel drops it, however
they end. Who takes the file away must have it alone first, and never waits for it. It belongs to the
open file (an OFD lock of fcntl(2)), so neither another descriptor nor the flocks of places.py touch it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import time
from pathlib import Path

from dingospeed.store.places import holding, stands_at

log = logging.getLogger(__name__)

# struct flock of Linux: type, whence, start, length (0: to the end of all ends), pid (0: none).
_FLOCK = struct.Struct("hhqqi4x")
_SHARED = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
_ALONE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_POLL_S = 0.005


def share(fd: int) -> bool:
    """Use the open file *fd* from now on. False while somebody is taking it away."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _SHARED)
    except BlockingIOError:
        return False
    except OSError as error:
        # Such a file system lets nobody have a file alone either: nothing is ever taken away there.
        log.debug("a file can not be marked as used: %s", error)
    return True


def share_named(fd: int, path: Path) -> bool:
    """As `share`, but waits for the end of a taking away; False when *path* names *fd* no longer."""
    while not share(fd):  # Its holder is at work for a moment, or dead, and a dead one holds nothing.
        time.sleep(_POLL_S)
    return stands_at(path, fd)


def take_away(path: Path, *, used_until: float) -> int | None:
    """Delete the file at *path*; the bytes of disk that this gave back.

    None when it stays, because somebody has it open, has used it after *used_until* (seconds since
    the epoch) or has linked it elsewhere, and when it has gone already. Raises OSError.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _ALONE)
        except BlockingIOError:
            return None
        with holding(path, fd) as is_there:
            status = os.fstat(fd)
            if not is_there or status.st_nlink > 1 or last_use(status) > used_until:
                return None
            path.unlink()
            return status.st_blocks * 512
    finally:
        os.close(fd)


def last_use(status: os.stat_result) -> float:
    """Seconds since the epoch. What is only written to counts as used."""
    return max(status.st_atime, status.st_mtime)
