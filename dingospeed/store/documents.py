"""JSON documents on disk: replaced as a whole, parsed once per worker.

A parsed document is kept in memory until the file changes (inode, size or mtime), so
another worker's write is seen at the next read, for the price of a stat.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from dingospeed.store.space import NO_SPACE

log = logging.getLogger(__name__)

# What a parsed document weighs in memory, compared with its text.
_PARSED_WEIGHT = 6


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed *value*, and when it was written (seconds since the epoch)."""

    value: Any
    written_at: float

    @property
    def age_s(self) -> float:
        """Seconds since then. One from the future is as strange as it is far off: clocks jump."""
        return abs(time.time() - self.written_at)


@dataclass(frozen=True, slots=True)
class _Parsed:
    signature: tuple[int, int, int]
    document: Document
    weight: int


class Documents:
    """Reads and writes documents; *memory_bytes* bounds what is kept parsed."""

    def __init__(self, *, memory_bytes: int) -> None:
        self._parsed: LRUCache[Path, _Parsed] = LRUCache(memory_bytes, getsizeof=lambda kept: kept.weight)
        self._lock = threading.Lock()

    def read(self, path: Path) -> Document | None:
        """The document at *path*; None when there is none or it is damaged (then set aside).

        The value is shared: whoever changes it changes it for all. Copy first.
        """
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        signature = (status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            kept = self._parsed.get(path)
        if kept is not None and kept.signature == signature:
            return kept.document
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._set_aside(path, error)
            return None
        document = Document(value, status.st_mtime)
        self._keep(path, _Parsed(signature, document, 512 + status.st_size * _PARSED_WEIGHT))
        return document

    def write(self, path: Path, value: Any, *, written_at: float | None = None) -> bool:
        """Replace the document. False when the disk is full: then it was not kept.

        *written_at*, in Unix time, is when its value was true, if that is not now.
        """
        beside = path.with_name(f".{path.name[:100]}.{os.getpid()}-{time.monotonic_ns()}")
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(text)
            if written_at is not None:
                os.utime(beside, (written_at, written_at))
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            if error.errno not in NO_SPACE:
                raise
            log.error("document %s not kept: no space for the cache", path.name)
            return False
        return True

    def touch(self, path: Path) -> None:
        """Say that the document was found to be still right just now."""
        with suppress(FileNotFoundError):
            os.utime(path)

    def delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def _keep(self, path: Path, parsed: _Parsed) -> None:
        with self._lock:
            try:
                self._parsed[path] = parsed
            except ValueError:  # Larger than all the memory we may use: parsed each time.
                self._parsed.pop(path, None)

    def _set_aside(self, path: Path, error: ValueError) -> None:
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return
        log.error("document %s set aside as %s: %s", path.name, aside.name, error)
