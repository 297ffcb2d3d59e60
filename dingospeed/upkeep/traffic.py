"""What was served, hour by hour, for a day: counted by each worker, added up by whoever asks.

    traffic/<hour>/<worker>.json       hour: since the epoch, in whole hours

Each worker writes only the hour that runs, into a file of its own; a worker that ended leaves what it
counted. Nothing is ever added to an hour that is over, and after a day its folder goes.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dingospeed.store.documents import Documents
from dingospeed.upkeep.toplist import TopList, merged

HOURS = 24
_HOUR_S = 3600
_WRITE_EVERY_S = 5.0
# Kept for each hour and worker, and told.
_TOP_KEPT, _TOP_TOLD = 50, 20
_HOUR_NAME = re.compile(r"[0-9]{1,10}\Z")
_COUNTS = ("requests", "hits", "bytes", "hit_bytes", "fetched_bytes")


@dataclass(frozen=True, slots=True)
class Hour:
    """What one worker counted in an *hour*."""

    hour: int
    value: dict[str, Any]


class Traffic:
    """The counts of one worker, and the reading of all. `add` and `take_due` want their owner's lock.

    *fetched*: the bytes that this worker has fetched from outside since its start.
    """

    def __init__(
        self,
        *,
        folder: Path,
        documents: Documents,
        fetched: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._documents = documents
        self._fetched = fetched
        self._clock = clock
        self._name = f"{os.getpid()}-{time.time_ns()}.json"
        self._fetched_before = 0
        self._taken_at = 0.0
        self._over: list[Hour] = []
        self._begin(self._this_hour())

    def add(self, *, repo: str, client: str, is_hit: bool, sent: int, requests: int = 0) -> None:
        """*sent* bytes more for a client, and *requests* that ended."""
        self._turn()
        counts = self._counts
        counts["bytes"] += sent
        counts["requests"] += requests
        if is_hit:
            counts["hit_bytes"] += sent
            counts["hits"] += requests
        self._repos.add(repo, sent)
        self._clients.add(client, sent)
        self._is_written = False

    def take_due(self, *, at_once: bool = False) -> list[Hour]:
        """What is to be written now, as it has changed: once in a while, or *at_once*."""
        self._turn()
        fetched = self._fetched()
        if fetched != self._fetched_before:
            self._counts["fetched_bytes"] += fetched - self._fetched_before
            self._fetched_before, self._is_written = fetched, False
        due, self._over = self._over, []
        now = time.monotonic()
        if not self._is_written and (at_once or now >= self._taken_at + _WRITE_EVERY_S):
            # What can not be kept is tried again with the next change, not at each beat.
            self._is_written, self._taken_at = True, now
            due.append(self._now())
        return due

    def write(self, due: list[Hour]) -> None:
        """Keep what `take_due` gave."""
        for hour in due:
            self._documents.write(self._folder / str(hour.hour) / self._name, hour.value)

    def read(self) -> dict[str, Any]:
        """The last 24 hours of the whole node: "hours", oldest first, and the top "repos" and "clients".

        An hour has its beginning ("start", Unix time), requests, hits, bytes, hit_bytes, fetched_bytes.
        """
        now = self._this_hour()
        hours, repos, clients = [], [], []
        for hour in range(now - HOURS + 1, now + 1):
            total = dict.fromkeys(_COUNTS, 0)
            for counted in self._of_hour(hour):
                for name in _COUNTS:
                    total[name] += counted["counts"].get(name, 0)
                repos.append(counted["repos"])
                clients.append(counted["clients"])
            hours.append({"start": hour * _HOUR_S, **total})
        return {
            "hours": hours,
            "repos": _told(merged(repos, _TOP_TOLD), "repo"),
            "clients": _told(merged(clients, _TOP_TOLD), "address"),
        }

    def forget_old(self) -> None:
        """Delete the hours that are over for a day. A chore."""
        oldest = self._this_hour() - HOURS + 1
        for folder in self._folder.glob("*"):
            if _HOUR_NAME.match(folder.name) and int(folder.name) < oldest:
                shutil.rmtree(folder, ignore_errors=True)

    def _of_hour(self, hour: int) -> Iterator[dict[str, Any]]:
        for path in (self._folder / str(hour)).glob("*.json"):
            document = self._documents.read(path)
            if document is not None and _is_counted(document.value):
                yield document.value

    def _turn(self) -> None:
        """Close the hour that ran, when it is over."""
        hour = self._this_hour()
        if hour != self._hour:
            if not self._is_written:
                self._over.append(self._now())
            self._begin(hour)

    def _begin(self, hour: int) -> None:
        self._hour = hour
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._repos, self._clients = TopList(_TOP_KEPT), TopList(_TOP_KEPT)
        self._is_written = True

    def _now(self) -> Hour:
        lists = {"repos": self._repos.amounts(), "clients": self._clients.amounts()}
        return Hour(self._hour, {"counts": dict(self._counts), **lists})

    def _this_hour(self) -> int:
        return int(self._clock() // _HOUR_S)


def _is_counted(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(part), dict) and all(type(amount) is int for amount in value[part].values())
        for part in ("counts", "repos", "clients")
    )


def _told(amounts: dict[str, int], name: str) -> list[dict[str, Any]]:
    return [{name: key, "bytes": amount} for key, amount in amounts.items()]
