"""The name a file stands under, and the right to take it away.

Processes race to seal, reject or set aside a half-filled file while others put a new one in
its place. Whoever takes a name away does it here, under an flock on the file that bears
it, after a look whether it still does. Names are given by link(2), which never replaces
anything, so what was seen under the lock stays true until it is let go.

The lock is held for a few system calls, never across a wait.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_POLL_S = 0.005


@contextmanager
def holding(path: Path, fd: int) -> Iterator[bool]:
    """Nobody else takes a name from the file *fd* meanwhile; whether *path* is its name still."""
    while not _try_lock(fd):  # Its holder is at work or dead, and a dead one holds nothing.
        time.sleep(_POLL_S)
    try:
        yield stands_at(path, fd)
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def stands_at(path: Path, fd: int) -> bool:
    """Whether the open file *fd* is the one that *path* names."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)


def set_aside(path: Path, fd: int, why: str) -> None:
    """Give the damaged file *fd* a name nobody looks for, unless *path* is another file by now."""
    with holding(path, fd) as is_there:
        if not is_there:
            return
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        path.rename(aside)
    log.error("blob %s set aside as %s: %s", path.name, aside.name, why)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
