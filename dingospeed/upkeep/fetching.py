"""The files of a plan, fetched into the cache: segment by segment, through the same engine as everybody's.

Nothing of the content passes through Python: what is read are positions, and they are thrown away. Who
else reads the same segment at the moment shares its one fetch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from dingospeed.errors import (
    ContentMismatch,
    DingospeedError,
    Offline,
    RateLimited,
    StoreFull,
    UpstreamError,
)
from dingospeed.mirror.files import Files, OpenFile
from dingospeed.model import Caller, FileMeta, Span
from dingospeed.store.blobs import Blobs
from dingospeed.upkeep.jobs import Part, Progress
from dingospeed.upkeep.pace import Pace
from dingospeed.upkeep.planning import Plan

log = logging.getLogger(__name__)

_LOOK_S = 0.25
_REPORT_S = 1.0
# A rate is that of the last seconds.
_RATE_OVER_S = 10.0
_LONGEST_PAUSE_S = 30.0
_LOOKS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Kitchen:
    """What fetching needs. *segment_bytes* is how much is read at once."""

    files: Files
    blobs: Blobs
    pace: Pace
    segment_bytes: int
    patience_s: float


@dataclass(slots=True)
class _Item:
    """One content; *names* are its files."""

    meta: FileMeta
    names: int = 1
    held: int = 0
    left: int = 0
    is_begun: bool = False
    is_done: bool = False
    opened: OpenFile | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Fetching:
    """One run over *plan* on behalf of *caller*."""

    def __init__(self, kitchen: Kitchen, plan: Plan, caller: Caller) -> None:
        self._kitchen = kitchen
        self._plan = plan
        self._caller = caller
        self._items = self._look()
        self._units = self._all_units()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._error: Exception | None = None
        self._trouble = ""
        self._got_on_at = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque()

    def run(self, report: Callable[[Progress, str], bool]) -> Progress:
        """Fetch all that is missing; *report* is told how far it is and why it waits, and whether to go on
        is what it returns.

        Returns how it ended, which is the end of it unless *report* said no. Raises a Refusal, StoreFull
        and what else can not be healed, UpstreamError after `patience_s` without a byte.
        """
        count = min(self._kitchen.pace.parallel, sum(item.left for item in self._items))
        threads = [threading.Thread(target=self._work, name="warm-up", daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        told_at = 0.0
        try:
            while any(thread.is_alive() for thread in threads) and self._error is None:
                if time.monotonic() - told_at >= _REPORT_S:
                    told_at = time.monotonic()
                    if not report(self.progress(), self._trouble or self._kitchen.pace.why_waiting()):
                        break
                next((thread for thread in threads if thread.is_alive()), threads[0]).join(_LOOK_S)
            if self._error is not None:
                raise self._error
            return self.progress()
        finally:
            self._stopped.set()

    def progress(self) -> Progress:
        now = time.monotonic()
        held, parts = 0, []
        for item in self._items:
            if item.is_begun and not item.is_done:
                item.held = self._kitchen.blobs.held_bytes(item.meta.blob)
                parts.append(Part(item.meta.path, item.meta.blob.size, item.held))
            held += item.held
        total = sum(item.meta.blob.size for item in self._items)
        rate = self._rate(now, held)
        return Progress(
            commit=self._plan.commit,
            files=len(self._plan.files),
            files_held=sum(item.names for item in self._items if item.is_done),
            bytes=total,
            bytes_held=held,
            rate=rate,
            left_s=-(-(total - held) // rate) if rate else None,
            now=tuple(parts),
        )

    def _rate(self, now: float, held: int) -> int:
        self._samples.append((now, held))
        while now - self._samples[0][0] > _RATE_OVER_S and len(self._samples) > 2:
            self._samples.popleft()
        began, before = self._samples[0]
        return max(0, int((held - before) / (now - began))) if now > began else 0

    def _look(self) -> list[_Item]:
        """Each content of the plan once, and how much of it is held."""
        items: dict[str, _Item] = {}
        for count, meta in enumerate(self._plan.files):
            if meta.blob.etag in items:
                items[meta.blob.etag].names += 1
                continue
            held = self._kitchen.blobs.held_bytes(meta.blob)
            item = items[meta.blob.etag] = _Item(meta, held=held)
            item.is_done = self._kitchen.blobs.is_sealed(meta.blob)
            item.left = 0 if item.is_done else max(1, -(-meta.blob.size // self._kitchen.segment_bytes))
            if count % _LOOKS_AT_ONCE == 0:
                time.sleep(0)
        return list(items.values())

    def _all_units(self) -> Iterator[tuple[_Item, Span]]:
        step = self._kitchen.segment_bytes
        for item in self._items:
            size = item.meta.blob.size
            for index in range(item.left):
                yield item, Span(min(index * step, size), min((index + 1) * step, size))

    def _work(self) -> None:
        """For a thread: one segment after the other, until there is none or all is over."""
        try:
            while not self._stopped.is_set():
                with self._lock:
                    unit = next(self._units, None)
                if unit is None:
                    return
                with self._kitchen.pace.place(lambda: not self._stopped.is_set()) as is_taken:
                    if not is_taken:
                        return
                    # To wait for a place is not to wait for bytes.
                    self._got_on_at = time.monotonic()
                    self._fetch(*unit)
        except DingospeedError as error:
            self._fail(error)
        except Exception as error:
            log.exception("warm-up of %s", self._plan.repo)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._stopped.is_set():
            self._error = self._error or error

    def _fetch(self, item: _Item, span: Span) -> None:
        self._read_patiently(item, span)
        with item.lock:
            item.left -= 1
            is_last = not item.left
        if is_last and not self._stopped.is_set():
            # All of it once more, which now is held: this waits for the hash.
            self._read_patiently(item, item.meta.blob.whole)
            item.is_done, item.held = True, item.meta.blob.size

    def _read_patiently(self, item: _Item, span: Span) -> None:
        for attempt in Retrying(
            retry=retry_if_exception(_may_pass),
            wait=_pause_s,
            stop=self._is_given_up,
            sleep=self._sleep,
            reraise=True,
        ):
            with attempt:
                if self._stopped.is_set():
                    return
                try:
                    self._read(item, span)
                except (UpstreamError, ContentMismatch) as error:
                    self._trouble = f"trying again: {error}"
                    raise

    def _read(self, item: _Item, span: Span) -> None:
        with closing(self._opened(item).read(span)) as pieces:  # type: ignore[type-var]
            for piece in pieces:
                if isinstance(piece, bytes):
                    raise StoreFull("there is no space for the files in the cache")
                self._got_on_at, self._trouble = time.monotonic(), ""

    def _opened(self, item: _Item) -> OpenFile:
        with item.lock:
            opened = item.opened
        if opened is None:
            opened = self._kitchen.files.opened(
                item.meta,
                self._caller,
                is_restricted=self._plan.is_restricted,
                is_stale=False,
                pace=self._kitchen.pace.slow_down,
            )
            with item.lock:
                item.opened, item.is_begun = opened, True
        return opened

    def _sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _is_given_up(self, state: RetryCallState) -> bool:
        return self._stopped.is_set() or time.monotonic() - self._got_on_at > self._kitchen.patience_s


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, UpstreamError | ContentMismatch) and not isinstance(error, Offline)


def _pause_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimited):
        return max(1.0, min(error.wait_s, _LONGEST_PAUSE_S))
    return float(wait_random_exponential(multiplier=0.5, max=_LONGEST_PAUSE_S)(state))
