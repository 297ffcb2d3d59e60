"""Documents under keys of any form, of which the oldest go when there are too many.

They lie in 256 folders by the hash of their key. Each folder is kept within its share whenever
something is put there, so that nobody has to look at all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dingospeed.store.documents import Document, Documents

_FOLDERS = 256


class Shelf:
    """At most about *most* documents and *most_bytes*; *path_of* gives the place of a hash in hex."""

    def __init__(
        self, *, documents: Documents, path_of: Callable[[str], Path], most: int, most_bytes: int
    ) -> None:
        self._documents = documents
        self._path_of = path_of
        self._most = max(1, most // _FOLDERS)
        self._most_bytes = most_bytes // _FOLDERS

    def read(self, key: str) -> Document | None:
        """None when there is none, or no more."""
        return self._documents.read(self._path(key))

    def write(self, key: str, value: Any) -> None:
        """Put *value* there; on a full disk nothing happens."""
        path = self._path(key)
        if self._documents.write(path, value):
            self._tidy(path)

    def delete(self, key: str) -> None:
        self._documents.delete(self._path(key))

    def _path(self, key: str) -> Path:
        return self._path_of(hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest())

    def _tidy(self, newest: Path) -> None:
        """Delete the oldest beside *newest* until the rest is within the share of a folder."""
        found = []
        for path in newest.parent.glob("*.json"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found.append((path == newest, status.st_mtime_ns, status.st_size, path))
        size_bytes = 0
        for count, (is_newest, _, file_bytes, path) in enumerate(sorted(found, reverse=True), start=1):
            size_bytes += file_bytes
            if not is_newest and (count > self._most or size_bytes > self._most_bytes):
                self._documents.delete(path)
