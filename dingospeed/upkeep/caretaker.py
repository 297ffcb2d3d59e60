"""Minds how much the cache takes of its disk: looks now and then, and has it cleaned when it is too much."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import ValidationError

from dingospeed.errors import StoreError
from dingospeed.metrics import Metrics
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout
from dingospeed.store.usage import Disk, disk_of
from dingospeed.upkeep.apart import Report, Task, rules_of, run_apart
from dingospeed.upkeep.cleaning import Goal

log = logging.getLogger(__name__)

# How often to ask the disk, which costs nothing; and how long to leave the cache alone after it was
# walked, although it seems to have grown too large: what grows is in use.
LOOK_S = 5.0
_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """How things stood *at* a time of a monotonic clock: the cache's bytes on its *disk*.

    *is_short*: although it was cleaned, too much is left.
    """

    at: float
    cache_bytes: int
    disk: Disk
    is_short: bool = False


def is_due(last: Seen | None, now: Seen, goal: Goal, interval_s: float) -> bool:
    """Whether the cache has to be walked. *now* has no bytes of the cache: that is what a walk is for.

    In between the cache has grown by what the disk has, at the most.
    """
    if last is None or now.at - last.at >= interval_s:
        return True
    grown = max(0, now.disk.used_bytes - last.disk.used_bytes)
    may_help = now.at - last.at >= _PAUSE_S and not last.is_short
    return may_help and goal.surplus(last.cache_bytes + grown, now.disk) > 0


class Caretaker:
    """Has *task* done, again and again; its chores are done by one worker of the node.

    When *news* is another than before, it is time to tell the group what is kept here.
    """

    def __init__(
        self,
        *,
        task: Task,
        layout: Layout,
        documents: Documents,
        metrics: Metrics,
        news: Callable[[], object] = lambda: None,
    ) -> None:
        self._task = task
        self._layout = layout
        self._documents = documents
        self._metrics = metrics
        self._goal = rules_of(task.cleaning).goal
        self._last: Seen | None = None
        self._news = news
        self._told: object = None

    def look(self) -> None:
        """The chore of every few seconds."""
        now, news = self._seen(0), self._news()
        if news != self._told or is_due(self._last, now, self._goal, self._task.cleaning.interval_s):
            self._told = news
            self._tidy(is_down=False)

    def clean_down(self) -> None:
        """The chore of the day: down to the low mark, whether or not the high one is reached."""
        self._tidy(is_down=True)

    def last_report(self) -> Report | None:
        """What was found last, by whichever worker; None before the first look."""
        document = self._documents.read(self._layout.usage)
        if document is None:
            return None
        try:
            return Report.model_validate(document.value)
        except ValidationError:  # Of another version.
            return None

    def _tidy(self, *, is_down: bool) -> None:
        try:
            report = run_apart(self._task.model_copy(update={"is_down": is_down}))
        except StoreError:
            self._metrics.cleanings.labels("failed").inc()
            # The process has told why. Not at once again.
            self._last = self._seen(0)
            raise
        is_short = report.cleaned is not None and report.cleaned.missing_bytes > 0
        self._last = replace(self._seen(report.usage.disk_bytes), is_short=is_short)
        self._documents.write(self._layout.usage, report.model_dump())
        self._count(report)

    def _count(self, report: Report) -> None:
        metrics, cleaned = self._metrics, report.cleaned
        metrics.cache_bytes.set(report.usage.disk_bytes)
        metrics.cache_blobs.set(report.usage.blobs)
        if cleaned is None:
            return
        metrics.cleanings.labels("short" if cleaned.missing_bytes else "done").inc()
        metrics.cleaned_bytes.labels(self._task.cleaning.strategy).inc(cleaned.disk_bytes)
        metrics.cleaned_blobs.inc(cleaned.files)
        log.info(
            "cleaned: %d files and %d bytes went, %d stayed in use, %d bytes are left",
            cleaned.files,
            cleaned.disk_bytes,
            cleaned.in_use,
            report.usage.disk_bytes,
        )
        if cleaned.missing_bytes:
            log.error(
                "cleaning freed %d bytes too few: the rest is pinned, mounted or in use",
                cleaned.missing_bytes,
            )

    def _seen(self, cache_bytes: int) -> Seen:
        return Seen(time.monotonic(), cache_bytes, disk_of(self._layout.root))
