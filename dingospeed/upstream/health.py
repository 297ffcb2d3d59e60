"""How a line is doing, as a table: healthy, suspect, down, probing.

Failures at the same moment count once: eight segments on a broken line are one failure.
A suspect line is asked after the others for a while, and trusted again when that time is
over, or the second of two good lines would keep all the traffic of the first for ever.

No locks and no threads here: whoever shares it guards it.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Collection


class State(enum.Enum):
    HEALTHY = "healthy"
    SUSPECT = "suspect"
    DOWN = "down"
    PROBING = "probing"


class Event(enum.Enum):
    SUCCESS = "success"
    FAILURE = "failure"
    LAST_FAILURE = "last failure"  # the one that makes failures_to_down full
    PROBE_STARTED = "probe started"


TABLE: dict[tuple[State, Event], State] = {
    (State.HEALTHY, Event.SUCCESS): State.HEALTHY,
    (State.HEALTHY, Event.FAILURE): State.SUSPECT,
    (State.HEALTHY, Event.LAST_FAILURE): State.DOWN,
    (State.HEALTHY, Event.PROBE_STARTED): State.HEALTHY,
    (State.SUSPECT, Event.SUCCESS): State.HEALTHY,
    (State.SUSPECT, Event.FAILURE): State.SUSPECT,
    (State.SUSPECT, Event.LAST_FAILURE): State.DOWN,
    (State.SUSPECT, Event.PROBE_STARTED): State.SUSPECT,
    (State.DOWN, Event.SUCCESS): State.HEALTHY,
    (State.DOWN, Event.FAILURE): State.DOWN,
    (State.DOWN, Event.LAST_FAILURE): State.DOWN,
    (State.DOWN, Event.PROBE_STARTED): State.PROBING,
    (State.PROBING, Event.SUCCESS): State.HEALTHY,
    (State.PROBING, Event.FAILURE): State.DOWN,
    (State.PROBING, Event.LAST_FAILURE): State.DOWN,
    (State.PROBING, Event.PROBE_STARTED): State.PROBING,
}


class Health:
    """The state of one line. Times are seconds of *clock*, which is monotonic."""

    def __init__(
        self,
        *,
        failures_to_down: int = 3,
        probe_s: float = 5.0,
        probe_max_s: float = 300.0,
        clock: Callable[[], float],
        moment_s: float = 1.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.state = State.HEALTHY
        self.failures = 0
        self._failures_to_down = failures_to_down
        self._probe_s = probe_s
        self._probe_max_s = probe_max_s
        self._clock = clock
        self._moment_s = moment_s
        self._jitter = jitter
        self._failed_at = float("-inf")
        self._pause_s = probe_s
        self._next_probe_at = 0.0
        self._aside_until: dict[str, float] = {}

    def note(self, event: Event) -> None:
        """Take *event* (SUCCESS, FAILURE or PROBE_STARTED) into account."""
        if event is Event.FAILURE:
            event = self._counted_failure()
        before, self.state = self.state, TABLE[self.state, event]
        if event is Event.SUCCESS:
            self.failures = 0
            self._failed_at = float("-inf")
        if self.state is State.DOWN and before is not State.DOWN:
            again = before is State.PROBING
            self._pause_s = min(self._pause_s * 2, self._probe_max_s) if again else self._probe_s
            self._next_probe_at = self._clock() + self._pause_s * (1 - 0.2 * self._jitter())

    def set_aside(self, wait_s: float, budget: str = "") -> None:
        """Not to be asked at the cost of *budget* ("": at all) for *wait_s* seconds: it limits our rate."""
        now = self._clock()
        until = max(self._aside_until.get(budget, now), now + wait_s)
        # Those that are over go, so that accounts do not pile up.
        self._aside_until = {name: end for name, end in self._aside_until.items() if end > now}
        self._aside_until[budget] = until

    def aside_for_s(self, budgets: Collection[str]) -> float:
        """Seconds it is still set aside for what costs *budgets*, 0 when it is not."""
        now = self._clock()
        return max(0.0, *(self._aside_until.get(budget, now) - now for budget in ("", *budgets)))

    @property
    def is_up(self) -> bool:
        return self.state in (State.HEALTHY, State.SUSPECT)

    @property
    def is_doubtful(self) -> bool:
        """Whether it failed a short while ago, and should be asked after others."""
        return self.state is State.SUSPECT and self._clock() < self._failed_at + self._probe_s

    @property
    def aside_s(self) -> float:
        """Seconds it is still set aside for in some way, 0 when it is not."""
        return self.aside_for_s(self._aside_until)

    @property
    def next_probe_s(self) -> float | None:
        """Seconds to its next probe, 0 when that is due; None unless it is down."""
        return max(0.0, self._next_probe_at - self._clock()) if self.state is State.DOWN else None

    def _counted_failure(self) -> Event:
        now = self._clock()
        if now >= self._failed_at + self._moment_s:
            self.failures += 1
            self._failed_at = now
        return Event.LAST_FAILURE if self.failures >= self._failures_to_down else Event.FAILURE

    def __repr__(self) -> str:
        return f"<Health {self.state.value}, {self.failures} failures>"
