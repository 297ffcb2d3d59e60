"""What the cache takes of its disk, looked up in the tree of the blobs itself.

Sizes are those of the disk, so a half-filled file counts for what it holds and not for its holes. The walk
keeps one entry in memory at a time; it computes and waits, so it is for a process of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from dingospeed.errors import StoreError
from dingospeed.model import is_etag
from dingospeed.store.layout import Layout
from dingospeed.store.use import last_use


class Kind(Enum):
    """What a file in the tree of the blobs is, by its name."""

    BLOB = "complete"
    PARTIAL = "half-filled"
    # Damaged and set aside, or the beginning of a file that was never put in its place.
    LEFTOVER = "left over"


_KINDS = {"": Kind.BLOB, "partial": Kind.PARTIAL}
# What places.set_aside and BlockFile.create call them.
_LEFTOVER = re.compile(r"(?:partial\.)?damaged-[0-9]+\Z|partial\.[0-9-]+\.new\Z")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the tree of the blobs. Times are seconds since the epoch; *links* counts its names."""

    name: str
    kind: Kind
    disk_bytes: int
    used_at: float
    arrived_at: float
    links: int = 1

    @property
    def etag(self) -> str:
        """Of the content it holds, a part of it, or something that once went by that name."""
        return etag_of(self.name)


@dataclass(frozen=True, slots=True)
class Usage:
    """The cache in numbers. *blobs* are complete; *others* are half-filled or left over."""

    disk_bytes: int
    blobs: int
    others: int
    oldest_use: float | None
    oldest_other_use: float | None


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system in bytes: all of it, and what we may still write."""

    size_bytes: int
    free_bytes: int

    @property
    def used_bytes(self) -> int:
        """What is not ours to write, whoever took it."""
        return self.size_bytes - self.free_bytes


def kind_of(name: str) -> Kind | None:
    """What a file of this *name* is; None when it is nothing of ours."""
    etag, _, rest = name.partition(".")
    if not is_etag(etag):
        return None
    return _KINDS.get(rest) or (Kind.LEFTOVER if _LEFTOVER.match(rest) else None)


def etag_of(name: str) -> str:
    return name.partition(".")[0]


def walk(layout: Layout) -> Iterator[StoredFile]:
    """Every file of ours in the tree of the blobs, in no order. Raises StoreError when it can not be read."""
    try:
        with os.scandir(layout.blobs) as folders:
            for folder in folders:
                if folder.is_dir(follow_symlinks=False):
                    yield from _files(folder.path)
    except OSError as error:
        raise StoreError(f"the blobs under {layout.blobs} can not be listed: {error.strerror}") from error


def _files(folder: str) -> Iterator[StoredFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            kind = kind_of(entry.name)
            if kind is None or not entry.is_file(follow_symlinks=False):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield StoredFile(
                name=entry.name,
                kind=kind,
                disk_bytes=status.st_blocks * 512,
                used_at=last_use(status),
                arrived_at=status.st_mtime,
                links=status.st_nlink,
            )


def measure(files: Iterable[StoredFile]) -> Usage:
    """*files* added up."""
    disk_bytes = blobs = others = 0
    oldest = oldest_other = float("inf")
    for file in files:
        disk_bytes += file.disk_bytes
        if file.kind is Kind.BLOB:
            blobs += 1
            oldest = min(oldest, file.used_at)
        else:
            others += 1
            oldest_other = min(oldest_other, file.used_at)
    return Usage(disk_bytes, blobs, others, oldest if blobs else None, oldest_other if others else None)


def disk_of(path: Path) -> Disk:
    """The disk that *path* lies on. Raises StoreError when it can not be asked."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise StoreError(f"the disk of {path} can not be looked at: {error.strerror}") from error
    # Without the blocks kept for root: they are nobody's to count on.
    size = (found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize
    return Disk(size, found.f_bavail * found.f_frsize)
