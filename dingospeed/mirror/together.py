"""Questions that many have at the same moment, asked once.

A question runs in a thread of its own: nobody waits for it longer than a client would,
it goes on without them, and its answer is there for who comes next. Other processes of the
node are kept from asking the same by a lease.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from dingospeed.errors import DingospeedError, NoLine, StoreError
from dingospeed.flight.leases import Leases
from dingospeed.model import Caller

log = logging.getLogger(__name__)

# Clients give up after ten seconds of silence.
PATIENCE_S = 8.0
# Who has an old answer waits so long for a new one.
OLD_WAIT_S = 4.0

T = TypeVar("T")


class StillAsked(NoLine):
    """The answer takes longer than a client would wait; it may be there the next time."""

    def __init__(self) -> None:
        super().__init__("upstream takes long to answer")


class _Question:
    """One that is being asked."""

    def __init__(self) -> None:
        self.is_answered = threading.Event()
        self.answer: Any = None
        self.error: Exception | None = None


class Together:
    """Asks questions once per process by their keys, and with *leases* once per node."""

    def __init__(self, *, leases: Leases) -> None:
        self._leases = leases
        self._questions: dict[Hashable, _Question] = {}
        self._lock = threading.Lock()

    def ask(
        self,
        key: Hashable,
        call: Callable[[], T],
        caller: Caller,
        *,
        wait_s: float = PATIENCE_S,
        join_s: float | None = None,
    ) -> T:
        """What *call* returns, or raises, awaited for *wait_s*; *join_s* by those who did not begin it.

        Nor longer than *caller* waits for all of their answer. What may be different for another
        caller needs another key. Raises StillAsked.
        """
        with self._lock:
            question = self._questions.get(key)
            is_new = question is None
            if question is None:
                question = self._questions[key] = _Question()
        if is_new:
            threading.Thread(target=self._run, args=(key, question, call), name="ask", daemon=True).start()
        elif join_s is not None:
            wait_s = join_s
        if not question.is_answered.wait(caller.waits_s(wait_s)):
            raise StillAsked()
        if question.error is not None:
            raise question.error
        answer: T = question.answer
        return answer

    @contextmanager
    def alone(self, key: str, *, timeout_s: float = PATIENCE_S) -> Iterator[bool]:
        """Whether nobody else of the node is at *key* meanwhile; two at once do no harm."""
        try:
            lease = self._leases.acquire(key, timeout_s=timeout_s)
        except StoreError as error:
            log.warning("no lease to ask under: %s", error)
            lease = None
        try:
            yield lease is not None
        finally:
            if lease is not None:
                lease.release()

    def _run(self, key: Hashable, question: _Question, call: Callable[[], Any]) -> None:
        try:
            question.answer = call()
        except DingospeedError as error:
            question.error = error
        except Exception as error:
            # The thread's top; whoever waits gets it too, but perhaps nobody does.
            log.exception("a question could not be asked")
            question.error = error
        finally:
            with self._lock:
                del self._questions[key]
            question.is_answered.set()
