"""What the cache takes of its disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dingospeed.errors import StoreError


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system in bytes: all of it, and what we may still write."""

    size_bytes: int
    free_bytes: int

    @property
    def used_bytes(self) -> int:
        """What is not ours to write, whoever took it."""
        return self.size_bytes - self.free_bytes


def disk_of(path: Path) -> Disk:
    """The disk that *path* lies on. Raises StoreError when it can not be asked."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise StoreError(f"the disk of {path} can not be looked at: {error.strerror}") from error
    # Without the blocks kept for root: they are nobody's to count on.
    size = (found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize
    return Disk(size, found.f_bavail * found.f_frsize)
