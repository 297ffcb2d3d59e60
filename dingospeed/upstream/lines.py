"""The lines of the upstream, in the order they are asked.

A question goes to one line after the other until one answers. What is an answer and what
moves on to the next line stands in `verdicts`. A line that is down is left alone until a
probe, sent from a thread that lives as long as some line is down, finds it alive.

The one lock guards the healths; it is never held while anything is sent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from dingospeed.errors import LineFailed, NoLine, Offline, RateLimited
from dingospeed.upstream.client import Answer, Client
from dingospeed.upstream.health import Event, Health, State
from dingospeed.upstream.verdicts import Verdict, verdict

log = logging.getLogger(__name__)

T = TypeVar("T")

# Cheap for the Hub, and JSON from whoever speaks its API.
PROBE_PATH = "/api/models?limit=1"
_PROBE_ROUND_S = 0.5
_MAX_PROBE_BYTES = 1024 * 1024

# What a client bears, which gives up after ten silent seconds, less what the answer may take.
RATE_LIMIT_PATIENCE_S = 5.0

Expectation = Literal["anything", "json"]
# What a question costs at a line, by the names that RateLimited gives to budgets.
Cost = Callable[[Client], Collection[str]]


def free(client: Client) -> Collection[str]:
    """The cost of a question that counts nowhere."""
    return ()


@dataclass(frozen=True, slots=True)
class Line:
    """One way to the upstream. Only to the Hub itself do callers' tokens go."""

    name: str
    client: Client
    health: Health
    is_hub: bool


@dataclass(slots=True)
class _Record:
    """What is known of a line besides its health; for the status page and the log."""

    last_error: str = ""
    answered_at: float = 0.0
    is_reported_down: bool = False


class Lines:
    """The *lines* in their configured order; none at all means that this node is offline.

    *observe* is told of a line after each use.
    """

    def __init__(
        self,
        *,
        lines: Sequence[Line],
        probe_path: str = PROBE_PATH,
        observe: Callable[[Line], None] = lambda line: None,
    ) -> None:
        self._lines = tuple(lines)
        self._probe_path = probe_path
        self._observe = observe
        self._records = {line.name: _Record() for line in self._lines}
        if len(self._records) != len(self._lines):
            raise ValueError("two lines have the same name")
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._prober: threading.Thread | None = None

    @property
    def is_offline(self) -> bool:
        """Whether there is nobody to be asked, by configuration."""
        return not self._lines

    def candidates(self, *, token: bool, start: int = 0, cost: Cost = free) -> list[Line]:
        """The lines to ask, best first: not those that are down or limit our rate for this *cost*.

        Doubtful lines come last and, among equals, with a *token* the lines that may see it
        first; else the configured order, begun at *start*.
        """
        first = start % len(self._lines) if self._lines else 0
        with self._lock:
            able = [
                (line.health.is_doubtful, token and not line.is_hub, line)
                for line in self._lines[first:] + self._lines[:first]
                if line.health.is_up and not line.health.aside_for_s(cost(line.client))
            ]
        return [line for _, _, line in sorted(able, key=lambda one: one[:2])]

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        own_token: bool = False,
        needs_own_token: bool = False,
        follow: bool = False,
        expect: Expectation = "anything",
        patience_s: float = 0,
    ) -> tuple[Line, Answer]:
        """The first answer, and the line that gave it.

        Where all limit our rate for no longer than *patience_s*, that is waited for, once.
        With *needs_own_token* the "no" of a line that was not shown one is no answer.
        Raises Offline when there are no lines, RateLimited with the shortest wait when all
        that could answer limit our rate, else NoLine.
        """

        def may_tell(line: Line) -> bool:
            return line.is_hub and line.client.has_own_token

        def one(line: Line) -> tuple[Line, Answer] | None:
            answer = line.client.request(
                method,
                path,
                token=token,
                headers=headers,
                body=body,
                own_token=own_token or needs_own_token,
                follow=follow,
            )
            if expect == "json":
                _refuse_html(line, answer)
            is_withheld = not line.is_hub if token is not None else needs_own_token and not may_tell(line)
            return None if is_withheld and verdict(answer.status) is Verdict.REFUSAL else (line, answer)

        def cost(client: Client) -> Collection[str]:
            return client.budgets_of(path, token=token, own_token=own_token or needs_own_token)

        try:
            return self.first(one, has_token=token is not None, cost=cost)
        except RateLimited as limited:
            if limited.wait_s > patience_s:
                raise
            time.sleep(limited.wait_s)
        return self.first(one, has_token=token is not None, cost=cost)

    def first(
        self,
        call: Callable[[Line], T | None],
        *,
        has_token: bool,
        is_restricted: bool = False,
        cost: Cost = free,
    ) -> T:
        """What *call* makes of the first line that neither fails it nor gives None, which is no answer.

        With *is_restricted* only lines that are the Hub itself are asked. Raises as `ask` does.
        """
        if not self._lines:
            raise Offline()
        failed: LineFailed | None = None
        for line in self.candidates(token=has_token, cost=cost):
            if is_restricted and not line.is_hub:
                continue
            try:
                result = call(line)
            except LineFailed as error:
                self.report(line, error)
                failed = failed if isinstance(error, RateLimited) else error
                continue
            self.report(line, None)
            if result is not None:
                return result
        raise self.no_answer(has_failed=failed is not None, cost=cost) from failed

    def report(self, line: Line, error: LineFailed | None) -> None:
        """Tell how *line* did: None for well. Whoever used it tells, once per use."""
        with self._lock:
            record, health = self._records[line.name], line.health
            is_limited = isinstance(error, RateLimited) and health.aside_for_s([error.budget]) > 0
            if error is not None:
                record.last_error = error.why
            if error is None:
                record.answered_at = time.time()
                health.note(Event.SUCCESS)
            elif isinstance(error, RateLimited):
                health.set_aside(error.wait_s, error.budget)
                if health.state is State.PROBING:
                    health.note(Event.FAILURE)
            else:
                health.note(Event.FAILURE)
            went_down = health.state is State.DOWN and not record.is_reported_down
            came_back = health.is_up and record.is_reported_down
            record.is_reported_down = not health.is_up
            failures, pause_s = health.failures, health.next_probe_s or 0.0
        self._observe(line)
        if went_down:
            log.warning("line %s down after %d failures, next probe in %.0f s", line.name, failures, pause_s)
            self._start_probing()
        if came_back:
            log.info("line %s is back", line.name)
        if isinstance(error, RateLimited) and not is_limited:
            log.warning("line %s limits our rate, not asked for %.0f s", line.name, error.wait_s)

    def observe_all(self) -> None:
        """Tell of every line as it is now."""
        for line in self._lines:
            self._observe(line)

    def snapshot(self) -> list[dict[str, Any]]:
        """Every line as a plain dict: name, is_hub, state, failures, error, times, budgets."""
        with self._lock:
            return [
                {
                    "name": line.name,
                    "is_hub": line.is_hub,
                    "state": line.health.state.value,
                    "failures": line.health.failures,
                    "last_error": self._records[line.name].last_error,
                    "answered_at": self._records[line.name].answered_at,
                    "next_probe_s": line.health.next_probe_s,
                    "aside_s": line.health.aside_s,
                    "budgets": {name: asdict(budget) for name, budget in line.client.budgets.items()},
                }
                for line in self._lines
            ]

    def close(self) -> None:
        """End the probing and close idle connections. The lines can still be asked."""
        self._closed.set()
        for line in self._lines:
            line.client.close()

    def no_answer(self, *, has_failed: bool = False, cost: Cost = free) -> NoLine | RateLimited:
        """Why nobody answers: RateLimited when waiting is all that is needed, NoLine otherwise."""
        with self._lock:
            waits = [(line.health.aside_for_s(cost(line.client)), line.name) for line in self._lines]
            waits = [(wait_s, name) for wait_s, name in waits if wait_s]
            is_down = any(not line.health.is_up for line in self._lines)
        if not waits or has_failed or is_down:
            return NoLine()
        wait_s, name = min(waits)
        return RateLimited(name, wait_s)

    def _start_probing(self) -> None:
        with self._lock:
            # Not alive also means: started before a fork, in another process.
            if self._prober is not None and self._prober.is_alive():
                return
            self._prober = threading.Thread(target=self._probe_until_up, name="probe-lines", daemon=True)
            self._prober.start()

    def _probe_until_up(self) -> None:
        while not self._closed.is_set():
            with self._lock:
                if all(line.health.is_up for line in self._lines):
                    self._prober = None
                    return
                due = [line for line in self._lines if line.health.next_probe_s == 0.0]
                for line in due:
                    line.health.note(Event.PROBE_STARTED)
            for line in due:
                self.report(line, self._probe(line))
            self._closed.wait(_PROBE_ROUND_S)

    def _probe(self, line: Line) -> LineFailed | None:
        """What is wrong with *line*; None when it answers anything that makes sense."""
        try:
            answer = line.client.request("GET", self._probe_path, max_bytes=_MAX_PROBE_BYTES)
            _refuse_html(line, answer)
        except LineFailed as error:
            return error
        except Exception as error:
            # The thread's top: it must outlive what nobody foresaw.
            log.exception("line %s could not be probed", line.name)
            return LineFailed(line.name, type(error).__name__)
        return None


def _refuse_html(line: Line, answer: Answer) -> None:
    """Raise LineFailed for a web page in place of JSON, as login portals send them."""
    is_html = answer.headers.get("Content-Type", "").lower().startswith("text/html")
    if answer.status == 200 and (is_html or answer.body.lstrip()[:1] == b"<"):
        raise LineFailed(line.name, "answered a web page with status 200")
