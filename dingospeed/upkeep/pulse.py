"""The worker's heartbeat: twice a second it is measured how late, and what is due is done.

Under the gevent worker this thread is a greenlet like all others: that it wakes late is that
the hub was held up, and with it every client of the worker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

BEAT_S = 0.5
# A lag is told of for so long: whoever looks once in a while must not miss it.
_REMEMBER_S = 60.0


@dataclass(frozen=True, slots=True)
class Lag:
    """The longest that the worker was held up lately, and when that was (Unix time)."""

    worst_s: float = 0.0
    at: float = 0.0


class Pulse:
    """Beats from `start` until `stop`, or until the worker is told to end.

    *on_beat* is done at each beat, *at_end* when it stops; *observe* is told of each delay in seconds.
    """

    def __init__(
        self,
        *,
        on_beat: Callable[[], None],
        at_end: Callable[[], None] = lambda: None,
        observe: Callable[[float], None] = lambda lag_s: None,
        beat_s: float = BEAT_S,
    ) -> None:
        self.stopped = threading.Event()
        self.lag = Lag()
        self._on_beat = on_beat
        self._at_end = at_end
        self._observe = observe
        self._beat_s = beat_s
        self._thread: threading.Thread | None = None

    def start(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Begin, after the fork. Called once; ends by itself when it is not wanted any more."""
        self._thread = threading.Thread(target=self._run, args=(is_wanted,), name="pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.stopped.set()
        if self._thread is not None:
            self._thread.join(self._beat_s * 4)

    def _run(self, is_wanted: Callable[[], bool]) -> None:
        while is_wanted():
            began = time.monotonic()
            if self.stopped.wait(self._beat_s):
                break
            self._note(max(0.0, time.monotonic() - began - self._beat_s))
            self._do(self._on_beat)
        self.stopped.set()
        self._do(self._at_end)

    def _note(self, lag_s: float) -> None:
        self._observe(lag_s)
        now = time.time()
        if lag_s >= self.lag.worst_s or abs(now - self.lag.at) > _REMEMBER_S:
            self.lag = Lag(lag_s, now)

    def _do(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except Exception:
            # The thread's top: what failed once may do the next time.
            log.exception("a beat of the worker failed")
