"""What the workers of the node are doing right now, for any of them to tell.

Each keeps a sheet: its transfers, those that ended last, how it sees the lines, how late its hub was.
It is a small file, on a memory file system where there is one, rewritten at a beat when something has
changed; its mtime is the last beat. Nothing is counted while bytes flow: the sheet is made from
what the bodies count for themselves.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dingospeed.store.documents import Documents
from dingospeed.upkeep.traffic import Traffic

SHEETS = "worker-*.json"
# On one sheet. Of more transfers only the number is told.
_MOST_LIVE, _MOST_ENDED = 200, 50
# Of a rate, how much is what it was a beat ago.
_INERTIA = 0.6
_HITS = ("HIT", "STALE")


class Progress(Protocol):
    """Whoever sends a body."""

    @property
    def sent(self) -> int: ...


@dataclass(eq=False, slots=True)
class Transfer:
    """A file on its way to a client. *who*: a salted hash of the token; *size*: the bytes asked for."""

    id: str
    address: str
    who: str
    repo: str
    revision: str
    path: str
    size: int
    cache: str
    progress: Progress
    since: float = field(default_factory=time.time)
    rate: float = 0.0
    counted: int = 0

    def told(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "since": round(self.since, 3),
            "address": self.address,
            "who": self.who,
            "repo": self.repo,
            "revision": self.revision,
            "file": self.path,
            "bytes": self.counted,
            "size": self.size,
            "rate": round(self.rate),
            "cache": self.cache,
        }


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the worker *pid* told at its last beat, at *beat_at* (Unix time)."""

    pid: int
    beat_at: float
    live: int
    transfers: list[dict[str, Any]]
    ended: list[dict[str, Any]]
    facts: dict[str, Any]


class Board:
    """The sheet of this worker, and the reading of all in *folder*. *facts* go on the sheet as they are."""

    def __init__(
        self,
        *,
        folder: Path,
        documents: Documents,
        traffic: Traffic,
        facts: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._folder = folder
        self._documents = documents
        self._traffic = traffic
        self._facts = facts
        self._live: dict[Transfer, None] = {}
        self._ended: deque[dict[str, Any]] = deque(maxlen=_MOST_ENDED)
        self._shown: dict[str, Any] = {}
        self._beat_at = time.monotonic()
        self._lock = threading.Lock()

    def begin(self, transfer: Transfer) -> None:
        with self._lock:
            self._live[transfer] = None

    def end(self, transfer: Transfer, result: str) -> None:
        with self._lock:
            del self._live[transfer]
            self._count(transfer, requests=1)
            lasted_s = max(time.time() - transfer.since, 1e-3)
            transfer.rate = transfer.counted / lasted_s
            self._ended.append({**transfer.told(), "seconds": round(lasted_s, 3), "result": result})

    def beat(self) -> None:
        """Bring the sheet up to date."""
        with self._lock:
            now = time.monotonic()
            passed_s, self._beat_at = max(now - self._beat_at, 1e-3), now
            for transfer in self._live:
                moved = self._count(transfer)
                transfer.rate = transfer.rate * _INERTIA + moved / passed_s * (1 - _INERTIA)
            due, sheet = self._traffic.take_due(), self._sheet()
        self._traffic.write(due)
        path = self._path(os.getpid())
        if sheet != self._shown or not path.exists():
            self._documents.write(path, sheet)
            self._shown = sheet
        else:
            self._documents.touch(path)

    def sheets(self) -> list[Sheet]:
        """Those of all workers that are alive."""
        return sorted(self._read(), key=lambda sheet: sheet.pid)

    def traffic(self) -> dict[str, Any]:
        """As Traffic.read, of this worker up to now."""
        self._write_traffic()
        return self._traffic.read()

    def close(self) -> None:
        """Leave nothing but what was counted."""
        self._write_traffic()
        self._documents.delete(self._path(os.getpid()))

    def _write_traffic(self) -> None:
        with self._lock:
            due = self._traffic.take_due(at_once=True)
        self._traffic.write(due)

    def _count(self, transfer: Transfer, *, requests: int = 0) -> int:
        """Put what was sent since the last time to the traffic; how much that is."""
        moved = transfer.progress.sent - transfer.counted
        if moved or requests:
            transfer.counted += moved
            self._traffic.add(
                repo=transfer.repo,
                client=transfer.address,
                is_hit=transfer.cache in _HITS,
                sent=moved,
                requests=requests,
            )
        return moved

    def _sheet(self) -> dict[str, Any]:
        shown = list(self._live)[-_MOST_LIVE:]
        return {
            "live": len(self._live),
            "transfers": [transfer.told() for transfer in shown],
            "ended": list(self._ended),
            "facts": self._facts(),
        }

    def _read(self) -> Iterator[Sheet]:
        for path in self._folder.glob(SHEETS):
            pid = path.stem.rpartition("-")[2]
            if not pid.isdecimal() or not _is_alive(int(pid)):
                continue
            document = self._documents.read(path)
            if document is None:
                continue
            value = document.value
            yield Sheet(
                pid=int(pid),
                beat_at=document.written_at,
                live=value["live"],
                transfers=value["transfers"],
                ended=value["ended"],
                facts=value["facts"],
            )

    def _path(self, pid: int) -> Path:
        return sheet_path(self._folder, pid)


def sheet_path(folder: Path, pid: int) -> Path:
    """Where the worker *pid* keeps its sheet."""
    return folder / SHEETS.replace("*", str(pid))


def live_transfers(sheets: list[Sheet]) -> list[dict[str, Any]]:
    """All that are under way, the latest first."""
    return sorted((one for sheet in sheets for one in sheet.transfers), key=lambda one: -one["since"])


def ended_transfers(sheets: list[Sheet], most: int = _MOST_ENDED) -> list[dict[str, Any]]:
    """Those that ended last, the latest first."""
    ended = [one for sheet in sheets for one in sheet.ended]
    return sorted(ended, key=lambda one: -(one["since"] + one["seconds"]))[:most]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
