"""Sealed blobs hashed once more: is the content still what its name says, and if not, can it be had again?"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from dingospeed.errors import DingospeedError, WrongSize
from dingospeed.mirror.files import Files
from dingospeed.model import Blob, Caller, FileMeta
from dingospeed.store.blobs import Blobs
from dingospeed.store.content import content_hash, hash_span, is_content_of
from dingospeed.store.layout import Layout
from dingospeed.store.places import set_aside
from dingospeed.store.use import share

log = logging.getLogger(__name__)

_STEP_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Damaged:
    """A blob whose content hashes to something else, or can not be read: *why* in words."""

    etag: str
    why: str


class Outcome(Enum):
    """What became of a damaged blob."""

    FOUND = "found"
    REPAIRED = "repaired"
    # The next request for it fetches it.
    SET_ASIDE = "set aside"


def find_damaged(
    layout: Layout, etags: Iterable[str], *, on_bytes: Callable[[int], None]
) -> Iterator[Damaged]:
    """Those of the sealed blobs *etags* that are not what they should be; *on_bytes* hears how it gets on.

    Changes nothing. One that is cleaned away meanwhile is passed over.
    """
    for etag in etags:
        try:
            fd = os.open(layout.sealed(etag), os.O_RDONLY)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Damaged(etag, f"can not be opened: {error.strerror}")
            continue
        try:
            share(fd)
            found = _hash(fd, etag, on_bytes)
            if found != etag:
                yield Damaged(etag, f"its content hashes to {found}")
        except OSError as error:
            yield Damaged(etag, f"can not be read: {error.strerror or error}")
        finally:
            os.close(fd)


class Repair:
    """Gets damaged blobs anew, through the engine that requests go through."""

    def __init__(self, *, layout: Layout, blobs: Blobs, files: Files, caller: Caller) -> None:
        self._layout = layout
        self._blobs = blobs
        self._files = files
        self._caller = caller

    def repair(self, damaged: Damaged, file: FileMeta | None) -> tuple[Outcome, str]:
        """Set the blob aside and fetch it as *file*, one that has it; what became of it, and why not more."""
        if file is not None and self._is_mended(file.blob):
            return Outcome.REPAIRED, "its sealing had been interrupted"
        self._set_aside(damaged)
        if file is None:
            return Outcome.SET_ASIDE, "no repo known here names it"
        try:
            opened = self._files.open(file.repo, file.commit, file.path, self._caller)
            for _ in opened.read(opened.meta.blob.whole):
                pass
        except (DingospeedError, OSError) as error:
            return Outcome.SET_ASIDE, str(error)
        if not self._blobs.is_sealed(file.blob):
            return Outcome.SET_ASIDE, "its repo is not kept here any more"
        return Outcome.REPAIRED, ""

    def _is_mended(self, blob: Blob) -> bool:
        """Whether all that was missing was the end of its sealing, which looking at it brings about."""
        try:
            fd = self._blobs.open_sealed(blob)
        except WrongSize:
            return False
        if fd is None:
            return False
        try:
            return is_content_of(blob.etag, fd)
        except OSError:
            return False
        finally:
            os.close(fd)

    def _set_aside(self, damaged: Damaged) -> None:
        path = self._layout.sealed(damaged.etag)
        with suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDONLY)
            try:
                set_aside(path, fd, damaged.why)
            finally:
                os.close(fd)


def _hash(fd: int, etag: str, on_bytes: Callable[[int], None]) -> str:
    size = os.fstat(fd).st_size
    hash = content_hash(Blob(etag, size))
    for start in range(0, size, _STEP_BYTES):
        stop = min(start + _STEP_BYTES, size)
        hash_span(hash, fd, start, stop)
        on_bytes(stop - start)
    return hash.hexdigest()
