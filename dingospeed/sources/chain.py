"""The lines one after another: where one stops, the next goes on at that byte."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from dingospeed.errors import DingospeedError, LineFailed, NotServed, RateLimited, Refusal, UpstreamError
from dingospeed.metrics import Metrics
from dingospeed.model import Blob, FileMeta, Span
from dingospeed.sources import hub
from dingospeed.upstream.client import Client
from dingospeed.upstream.lines import Line, Lines

log = logging.getLogger(__name__)

# Between two connections that each brought something: no reason to spin on a byte at a time.
_BREATH_S = 0.05
# What a client bears, which gives up after ten silent seconds, less what the answer may take.
_RATE_LIMIT_PATIENCE_S = 5

# Exactly the bytes of a span over one line; hub.read says more.
ReadLine = Callable[[Line, FileMeta, Span, str | None], Iterator[bytes]]

# Told how many bytes have come, it returns when more may be asked for.
Pacing = Callable[[int], None]


def at_once(count: int) -> None:
    """The pace of who is in no way held back."""


@dataclass(frozen=True, slots=True)
class Persistence:
    """How often all lines are tried again while nothing arrives, and the longest pause between."""

    rounds: int
    max_wait_s: float


class Chain:
    """Reads files over *lines*, as long as one of them gets on.

    *connections*: how many each line, by name, may have open at once.
    *rejections*: how often a file's content came wrong lately.
    """

    def __init__(
        self,
        *,
        lines: Lines,
        persistence: Persistence,
        rejections: Callable[[FileMeta], int],
        connections: Mapping[str, int],
        metrics: Metrics,
    ) -> None:
        self._lines = lines
        self._persistence = persistence
        self._rejections = rejections
        self._metrics = metrics
        self._places = {name: threading.BoundedSemaphore(most) for name, most in connections.items()}

    def source(
        self,
        meta: FileMeta,
        *,
        token: str | None,
        is_restricted: bool,
        read: ReadLine = hub.read,
        pace: Pacing = at_once,
    ) -> FileSource:
        """Where the bytes of *meta* come from, for a caller with *token*, no faster than *pace* lets them.

        A restricted file is asked of the Hub itself only: no other line is told the token.
        """
        return FileSource(self, meta, token, is_restricted, read, pace)

    def is_near(self, blob: Blob) -> bool:
        """Never: here all comes from outside."""
        return False

    def read(self, file: FileSource, span: Span) -> Iterator[bytes]:
        """Exactly the bytes of *span*. Raises UpstreamError, or Refusal when every line refuses."""
        position = span.start
        while position < span.stop:
            began = position
            for attempt in self._attempts():
                failure: DingospeedError | None = None
                try:
                    for piece in self._round(file, Span(position, span.stop)):
                        position += len(piece)
                        yield piece
                        file.pace(len(piece))
                except UpstreamError as error:
                    failure = error
                if failure is None:
                    return
                if position > began:
                    time.sleep(_BREATH_S)
                    break  # It got on: as patient as at the start.
                with attempt:
                    raise failure

    def _round(self, file: FileSource, span: Span) -> Iterator[bytes]:
        """Each line once, the next continuing where the last one stopped."""
        meta, token = file.meta, file.token
        position = span.start
        refusal: Refusal | None = None
        failure: UpstreamError | None = None
        # Content that came wrong is asked of another line first, whoever was to blame.
        start = self._rejections(meta)

        def cost(client: Client) -> Collection[str]:
            path = meta.repo.resolve_path(meta.commit, meta.path)
            return client.budgets_of(path, token=token, own_token=True)

        for line in self._lines.candidates(token=token is not None, start=start, cost=cost):
            if file.is_restricted and not line.is_hub:
                continue
            try:
                with self._places[line.name]:
                    for piece in file.read_line(line, meta, Span(position, span.stop), token):
                        position += len(piece)
                        self._metrics.count_fetched(line.name, len(piece))
                        yield piece
            except Refusal as error:
                # Who may have the file was decided by the Hub, and only the Hub can say otherwise.
                if line.is_hub:
                    refusal = refusal or error
                else:
                    failure = NotServed(line.name, "refuses a file that the Hub gives out")
            except NotServed as error:
                failure = error
                log.warning("file %s %s: %s", meta.repo, meta.path, error)
                self._lines.report(line, None)
            except LineFailed as error:
                failure = error
                log.warning("file %s %s at byte %d: %s", meta.repo, meta.path, position, error)
                self._metrics.upstream_failures.labels(line.name).inc()
                self._lines.report(line, error)
            else:
                self._lines.report(line, None)
                return
        raise refusal or failure or self._lines.no_answer(cost=cost)

    def _pause_s(self, state: RetryCallState) -> float:
        """Growing and by chance, or as long as a line that limits our rate has asked for."""
        longest_s = self._persistence.max_wait_s
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RateLimited):
            return min(error.wait_s, max(longest_s, _RATE_LIMIT_PATIENCE_S))
        return wait_random_exponential(multiplier=0.2, max=longest_s)(state)

    def _attempts(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(UpstreamError),
            stop=stop_after_attempt(self._persistence.rounds),
            wait=self._pause_s,
            sleep=time.sleep,
            before_sleep=lambda state: self._metrics.upstream_retries.inc(),
            reraise=True,
        )


@dataclass(frozen=True, slots=True)
class FileSource:
    """One file, bound to the caller on whose behalf it is fetched."""

    chain: Chain
    meta: FileMeta
    token: str | None
    is_restricted: bool
    read_line: ReadLine = hub.read
    pace: Pacing = at_once

    def read(self, span: Span) -> Iterator[bytes]:
        return self.chain.read(self, span)
