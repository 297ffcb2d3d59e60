"""Pins: repos whose files are never cleaned away, named by people and kept with the cache."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dingospeed.errors import StoreError
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout


@dataclass(frozen=True, slots=True)
class Pin:
    """Holds the files of the repos that the pattern *repos* matches: all, or those of *revision*."""

    repos: str
    revision: str | None = None

    @property
    def name(self) -> str:
        return self.repos if self.revision is None else f"{self.repos}@{self.revision}"


class Pins:
    """The pins of one cache."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._documents = Documents(memory_bytes=0)

    def all(self) -> Iterator[Pin]:
        """In the order of their names.

        Raises StoreError for one that can not be read: it may hold anything.
        """
        folder = self._layout.pin("x").parent
        for path in sorted(folder.glob("*.json"), key=lambda path: path.stem) if folder.is_dir() else ():
            try:
                value = json.loads(path.read_bytes())
                yield Pin(value["repos"], value["revision"])
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise StoreError(f"the pin {path} can not be read; remove it, and pin again") from error

    def add(self, pin: Pin) -> bool:
        """Set *pin*; False when it cannot be kept, for want of space."""
        value = {"repos": pin.repos, "revision": pin.revision, "at": round(time.time())}
        return self._documents.write(self._layout.pin(pin.name), value)

    def remove(self, pin: Pin) -> bool:
        """Take *pin* out; False when there was none."""
        path = self._layout.pin(pin.name)
        was_there = path.exists()
        self._documents.delete(path)
        return was_there
