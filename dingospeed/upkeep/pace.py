"""How fast warm-up may be: behind clients, within the budget of the upstream, below the limits.

A place is for one segment. What has begun is slowed down to the limit of the hour, but not while
clients wait: one of them may be waiting for exactly that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

_LOOK_S = 0.1
# A budget whose end nobody told.
_WINDOW_S = 60.0
# What is not used up at once may be made up for later, within this.
_BURST_S = 0.25


class Waiting(Protocol):
    def is_fresh(self) -> bool:
        """Whether clients wait for bytes."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """*rate* bytes a second, None for no limit, from the minute *start* of the day until *stop*."""

    start: int
    stop: int
    rate: int | None

    def holds_at(self, minute: int) -> bool:
        if self.start < self.stop:
            return self.start <= minute < self.stop
        return minute >= self.start or minute < self.stop


def rate_at(minute: int, limits: Sequence[RateLimit], otherwise: int | None) -> int | None:
    """The rate of the first of *limits* that holds at that *minute* of the day."""
    return next((limit.rate for limit in limits if limit.holds_at(minute)), otherwise)


def budget_wait_s(lines: Sequence[dict[str, Any]], keep_share: float, now: float) -> float:
    """How long nothing is to be asked, so that *keep_share* of the budget is left for clients.

    *lines* as Lines.snapshot() has them: the first that is up counts, it is the one that is asked.
    """
    line = next((line for line in lines if line["state"] != "down"), None)
    waits = [0.0]
    for budget in line["budgets"].values() if line is not None else ():
        left, quota = budget["remaining"], budget["quota"]
        if left is not None and quota and left < keep_share * quota:
            window_s = budget["reset_s"] if budget["reset_s"] is not None else _WINDOW_S
            waits.append(budget["seen_at"] + window_s - now)
    return max(waits)


def minute_now() -> int:
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class Pace:
    """Shared by all jobs that run in this process; *parallel* places.

    *rate* tells the limit in force, in bytes a second; *wait_s* how long the budget has to be left alone.
    """

    def __init__(
        self,
        *,
        demand: Waiting,
        parallel: int,
        rate: Callable[[], int | None],
        wait_s: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._demand = demand
        self._parallel = parallel
        self._rate = rate
        self._wait_s = wait_s
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._taken = 0
        self._free_at = 0.0

    @property
    def parallel(self) -> int:
        return self._parallel

    @contextmanager
    def place(self, is_wanted: Callable[[], bool]) -> Iterator[bool]:
        """A place, as soon as there is one; False when it *is_wanted* no more before that."""
        while not (is_taken := self._take_place()) and is_wanted():
            self._sleep(_LOOK_S)
        try:
            yield is_taken
        finally:
            if is_taken:
                with self._lock:
                    self._taken -= 1

    def slow_down(self, count: int) -> None:
        """After *count* bytes: as long as the limit asks for, unless clients wait."""
        rate = self._rate()
        if rate is None:
            return
        with self._lock:
            begin = max(self._free_at, self._clock() - _BURST_S)
            self._free_at = until = begin + count / rate
        while (left := until - self._clock()) > 0 and not self._demand.is_fresh():
            self._sleep(min(left, _BURST_S))

    def why_waiting(self) -> str:
        """In words, "" when nothing but the places themselves is in the way."""
        if self._wait_s() > 0:
            return "waiting for the upstream's rate limit, to leave the rest of it to clients"
        return "giving way to clients" if self._demand.is_fresh() else ""

    def _take_place(self) -> bool:
        if self._wait_s() > 0:
            return False
        # Never none: on a mirror that is always busy, warm-up comes to an end, too.
        places = 1 if self._demand.is_fresh() else self._parallel
        with self._lock:
            if self._taken >= places:
                return False
            self._taken += 1
            return True
