"""What is looked up when Prometheus asks, because nobody counts it: the disk, and the jobs by state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from dingospeed.errors import StoreError
from dingospeed.metrics import Metrics
from dingospeed.store.usage import disk_of
from dingospeed.upkeep.jobs import Job, State


class Levels:
    """Of the disk that *root* lies on, and of *jobs*."""

    def __init__(self, *, metrics: Metrics, root: Path, jobs: Callable[[], Iterable[Job]]) -> None:
        self._metrics = metrics
        self._root = root
        self._jobs = jobs

    def show(self) -> None:
        """As they are now; a disk that can not be asked stays as it was."""
        with suppress(StoreError):
            disk = disk_of(self._root)
            self._metrics.disk_size_bytes.set(disk.size_bytes)
            self._metrics.disk_free_bytes.set(disk.free_bytes)
        states = Counter(job.state for job in self._jobs())
        for state in State:
            self._metrics.jobs.labels(state.value).set(states[state])
