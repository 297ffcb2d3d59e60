"""Chores by the clock, done by one worker of the node at a time.

Every worker has a timetable; the one that gets the lease keeps it, until it stops or dies. A chore
runs in a thread of its own, so a long one holds up no other, and never twice at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import schedule

from dingospeed.errors import StoreError
from dingospeed.flight.leases import Lease, Leases

log = logging.getLogger(__name__)

Chore = Callable[[], None]

_LEASE = "upkeep"
_TICK_S = 0.5


@dataclass(slots=True)
class _Entry:
    name: str
    chore: Chore
    is_running: threading.Lock = field(default_factory=threading.Lock)


class Timetable:
    """Runs chores while it holds the lease; *tick_s* is how often it looks, at the lease and the clock."""

    def __init__(self, *, leases: Leases, tick_s: float = _TICK_S) -> None:
        self._leases = leases
        self._tick_s = tick_s
        self._scheduler = schedule.Scheduler()
        self._first: list[_Entry] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def every(self, interval_s: float, name: str, chore: Chore, *, at_once: bool = True) -> None:
        """Have *chore* done each *interval_s* seconds and, with *at_once*, when this worker takes over."""
        entry = _Entry(name, chore)
        self._scheduler.every(max(1, round(interval_s))).seconds.do(self._begin, entry)
        if at_once:
            self._first.append(entry)

    def daily(self, at: str, name: str, chore: Chore) -> None:
        """Have *chore* done each day at the local time *at*, "HH:MM". Raises ValueError for no such time."""
        try:
            self._scheduler.every().day.at(at).do(self._begin, _Entry(name, chore))
        except schedule.ScheduleValueError as error:
            raise ValueError(f"not a time of day: {at!r}") from error

    def start(self) -> None:
        """Begin, after the fork. Called once."""
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin no further chore and give the lease back; chores under way are not waited for."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(self._tick_s * 4)

    def _run(self) -> None:
        lease = self._take_over()
        if lease is None:
            return
        with lease:
            log.info("upkeep is done by this worker")
            for entry in self._first:
                self._begin(entry)
            while not self._stopped.wait(self._tick_s):
                self._scheduler.run_pending()

    def _take_over(self) -> Lease | None:
        """The lease, as soon as nobody else has it; None when stopped before."""
        while not self._stopped.is_set():
            try:
                lease = self._leases.try_acquire(_LEASE)
            except StoreError as error:
                log.warning("no upkeep for now: %s", error)
                lease = None
            if lease is not None:
                return lease
            self._stopped.wait(self._tick_s)
        return None

    def _begin(self, entry: _Entry) -> None:
        if entry.is_running.acquire(blocking=False):
            threading.Thread(target=self._do, args=(entry,), name=entry.name, daemon=True).start()

    def _do(self, entry: _Entry) -> None:
        try:
            entry.chore()
        except Exception:
            # The thread's top: one that failed is done again when its time comes.
            log.exception("chore %s failed", entry.name)
        finally:
            entry.is_running.release()
