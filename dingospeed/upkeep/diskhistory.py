"""How full the disk was in the last days, and when it will be full if it goes on like that."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dingospeed.store.documents import Documents
from dingospeed.store.usage import disk_of

NOTE_EVERY_S = 3600.0
# Notes of the last days tell more of the next ones than those of last month.
_KEPT_S = 7 * 86400.0
# A forecast of days from minutes would be a guess.
_LEAST_S = 6 * 3600.0
_DAY_S = 86400.0

# When (Unix time), and how many bytes were in use.
Note = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Forecast:
    """*grows_by* bytes a day, less than 0 where it shrinks; *full_in_s* is None when that leads nowhere."""

    grows_by: int
    full_in_s: float | None


def forecast(notes: Sequence[Note], free_bytes: int) -> Forecast | None:
    """A straight line through *notes*, the last of them now; None while they are too few to tell."""
    if not notes or notes[-1][0] - notes[0][0] < _LEAST_S:
        return None
    # From zero: the squares of Unix times leave no digits for the rest.
    times = [at - notes[0][0] for at, _ in notes]
    slope = statistics.linear_regression(times, [used for _, used in notes]).slope
    return Forecast(round(slope * _DAY_S), free_bytes / slope if slope * _DAY_S >= 1 else None)


class DiskHistory:
    """Notes about the disk of *folder*, kept in the document at *path*."""

    def __init__(
        self, *, folder: Path, path: Path, documents: Documents, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._path = path
        self._documents = documents
        self._clock = clock

    def note(self) -> None:
        """Write down how full it is. A chore, done each NOTE_EVERY_S; more often it does nothing."""
        notes, now = self._notes(), self._clock()
        if notes and now - notes[-1][0] < NOTE_EVERY_S / 2:
            return
        self._documents.write(self._path, [*notes, (now, disk_of(self._folder).used_bytes)])

    def forecast(self) -> Forecast | None:
        """When the disk is full, by the notes and by how it is now."""
        disk = disk_of(self._folder)
        return forecast([*self._notes(), (self._clock(), disk.used_bytes)], disk.free_bytes)

    def _notes(self) -> list[Note]:
        document, now = self._documents.read(self._path), self._clock()
        told = document.value if document is not None and isinstance(document.value, list) else []
        # A clock that was set back must not make the past end in the future.
        return [(note[0], note[1]) for note in told if _is_note(note) and now - _KEPT_S <= note[0] <= now]


def _is_note(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(part, int | float) for part in value)
    )
