"""What a cache holds, read from the disk itself, a folder at a time: memory does not grow with the cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dingospeed import native
from dingospeed.errors import BadBlockFile
from dingospeed.model import Blob, is_etag
from dingospeed.store.blobs import Blobs
from dingospeed.store.blockfile import BlockFile
from dingospeed.store.header import blob_of
from dingospeed.store.layout import Layout

_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Held:
    """A blob of which there is something. *cells*: a bit for each cell held; None when it is sealed."""

    blob: Blob
    cells: int | None


class Inventory:
    """Looks at the blobs under *layout*; cells are of *cell_bytes*. Files come and go meanwhile."""

    def __init__(self, *, layout: Layout, blobs: Blobs, cell_bytes: int) -> None:
        self._layout = layout
        self._blobs = blobs
        self._cell_bytes = cell_bytes

    def all(self) -> Iterator[list[Held]]:
        """All that is held, in a list for each folder."""
        for folder in native.run(_entries, self._layout.blobs):
            sizes = native.run(_sizes, self._layout.blobs / folder)
            # Whole ones by their size alone; half-filled ones are few, and opened.
            found = [Held(Blob(name, size), None) for name, size in sizes.items() if is_etag(name)]
            partials = (name.removesuffix(_PARTIAL) for name in sizes if name.endswith(_PARTIAL))
            begun = (self.held(etag) for etag in partials if is_etag(etag) and etag not in sizes)
            yield found + [held for held in begun if held is not None]

    def held(self, etag: str) -> Held | None:
        """What there is of a blob, None for nothing; whatever anybody says of its size."""
        try:
            return Held(Blob(etag, self._layout.sealed(etag).stat().st_size), None)
        except FileNotFoundError:
            pass
        try:
            return self._half_filled(self._layout.partial(etag))
        except FileNotFoundError:
            return None

    def _half_filled(self, path: Path) -> Held | None:
        fd = os.open(path, os.O_RDONLY)
        try:
            blob = blob_of(fd, path)
        except BadBlockFile:
            return None  # Set aside when somebody wants it.
        finally:
            os.close(fd)
        file = self._blobs.open_partial(blob) if f"{blob.etag}{_PARTIAL}" == path.name else None
        if file is None:
            return None
        with file:
            cells = held_cells(file, self._cell_bytes)
        return Held(blob, cells) if cells else None


def held_cells(file: BlockFile, cell_bytes: int) -> int:
    """A bit for each cell of *cell_bytes* that *file* holds whole, the first cell's the lowest."""
    cells = (1 << -(-file.blob.size // cell_bytes)) - 1
    for hole in file.holes(file.blob.whole):
        first, last = hole.start // cell_bytes, (hole.stop - 1) // cell_bytes
        cells &= ~(((1 << (last - first + 1)) - 1) << first)
    return cells


def _sizes(folder: Path) -> dict[str, int]:
    sizes = {}
    for name in _entries(folder):
        with suppress(FileNotFoundError):
            sizes[name] = os.stat(folder / name).st_size  # noqa: PTH116  # as above
    return sizes


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  # a hundred thousand of them, and only their names
    except (FileNotFoundError, NotADirectoryError):
        return []
