"""What a worker takes of its machine, as metrics: memory, processor, files, patience."""

from __future__ import annotations

import os
import time
from pathlib import Path

from dingospeed.metrics import Metrics
from dingospeed.upkeep.pulse import Lag

_SHOW_EVERY_S = 5.0
_SELF = Path("/proc/self")


class Vitals:
    """Shows them now and then, when asked to."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._due = 0.0

    def show(self, lag: Lag) -> None:
        """As they are now, if that is due."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _SHOW_EVERY_S
        metrics = self._metrics
        metrics.worker_lag_seconds.set(lag.worst_s)
        metrics.worker_cpu_seconds.set(time.process_time())
        resident_pages = int((_SELF / "statm").read_text().split()[1])
        metrics.worker_memory_bytes.set(resident_pages * os.sysconf("SC_PAGE_SIZE"))
        with os.scandir(_SELF / "fd") as entries:
            metrics.worker_open_files.set(sum(1 for _ in entries))
