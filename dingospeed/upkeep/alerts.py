"""Troubles told: once when something breaks, once when it is well again, a reminder in between.

Two things are kept, both as documents: what is wrong with the node, and what each webhook has been
told of it. A webhook is sent the difference, and only what it took counts as told. So nothing queues for a
dead one, nothing is lost over restarts, and what was over before it came back it never hears of.

What lasts shorter than *settle_s*, broken or healed, is not told at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from dingospeed.errors import DingospeedError
from dingospeed.store.documents import Documents
from dingospeed.upkeep.troubles import Known, Trouble, Troubles
from dingospeed.upstream.notices import Notice
from dingospeed.upstream.webhooks import WebhookFailed

log = logging.getLogger(__name__)

# In one message; the rest goes with the next.
_MOST_NOTICES = 20
# How long a webhook that failed is left alone: doubling, from and to.
_REST_S, _MAX_REST_S = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class Told:
    """A trouble that a webhook knows of, told last at *told_at*."""

    trouble: Trouble
    since: float
    told_at: float


_KNOWN: TypeAdapter[dict[str, Known]] = TypeAdapter(dict[str, Known])
_TOLD: TypeAdapter[dict[str, Told]] = TypeAdapter(dict[str, Told])


class Receiver(Protocol):
    """A webhook."""

    id: str
    label: str

    def send(self, notices: Sequence[Notice]) -> None:
        """Raises WebhookFailed."""


# --- deciding --------------------------------------------------------------------


def settled(before: Troubles, found: Iterable[Trouble], now: float, settle_s: float) -> dict[str, Known]:
    """What is known now that *found* are there: opened or dropped only after *settle_s*."""
    after = {}
    for trouble in found:
        known = before.get(trouble.key, Known(trouble, now, now, False))
        is_open = known.is_open or now - known.since >= settle_s
        after[trouble.key] = Known(trouble, known.since, now, is_open)
    for key, known in before.items():
        if key not in after and known.is_open and now - known.seen_at < settle_s:
            after[key] = known
    return after


def news(told: Mapping[str, Told], known: Troubles, now: float, remind_s: float) -> list[tuple[str, Notice]]:
    """What a webhook that was *told* so much is to hear, by the trouble's key: what broke comes first."""
    broken, reminders = [], []
    for key, one in known.items():
        if not one.is_open:
            continue
        if key not in told:
            broken.append((key, _notice("broken", one.trouble, one.since)))
        elif remind_s and now - told[key].told_at >= remind_s:
            reminders.append((key, _notice("reminder", one.trouble, one.since)))
    healed = [
        (key, _notice("healed", one.trouble, one.since)) for key, one in told.items() if key not in known
    ]
    return [*broken, *healed, *reminders]


def _notice(state: str, trouble: Trouble, since: float) -> Notice:
    text = trouble.over if state == "healed" else trouble.text
    return Notice(state, trouble.alert, trouble.subject, text, since)  # type: ignore[arg-type]


# --- doing -----------------------------------------------------------------------


class Alerts:
    """What is wrong with the node, looked up by `check` and kept at *path*.

    Each of the *sources* is told what was wrong before.
    """

    def __init__(
        self,
        *,
        sources: Sequence[Callable[[Troubles], Iterable[Trouble]]],
        documents: Documents,
        path: Path,
        settle_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sources = sources
        self._documents = documents
        self._path = path
        self._settle_s = settle_s
        self._clock = clock
        # Of the worker that does the upkeep: on a full disk it must know all the same.
        self._known: dict[str, Known] | None = None

    def check(self) -> None:
        """Look at everything once. A chore."""
        before = self._known if self._known is not None else self.known()
        after = settled(before, self._found(before), self._clock(), self._settle_s)
        self._known = after
        if after != before:
            self._documents.write(self._path, _KNOWN.dump_python(after))
        for key in after:
            if after[key].is_open and not (key in before and before[key].is_open):
                log.warning("trouble: %s: %s", key.strip(), after[key].trouble.text)
        for key in before:
            if before[key].is_open and key not in after:
                log.info("trouble is over: %s: %s", key.strip(), before[key].trouble.over)

    def known(self) -> dict[str, Known]:
        """What is wrong, as the worker that looks has written it down."""
        document = self._documents.read(self._path)
        try:
            return _KNOWN.validate_python(document.value) if document is not None else {}
        except ValidationError:
            return {}

    def _found(self, before: Troubles) -> list[Trouble]:
        found: list[Trouble] = []
        for source in self._sources:
            try:
                found += source(before)
            except DingospeedError as error:
                log.warning("troubles can not be looked for: %s", error)
        return found


class Courier:
    """Tells one *webhook*, from what *known* gives; what it took is kept at *path*."""

    def __init__(
        self,
        *,
        webhook: Receiver,
        known: Callable[[], Troubles],
        documents: Documents,
        path: Path,
        remind_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._webhook = webhook
        self._known = known
        self._documents = documents
        self._path = path
        self._remind_s = remind_s
        self._clock = clock
        self._told: dict[str, Told] | None = None
        self._failures = 0
        self._rests_until = 0.0

    def tell(self) -> None:
        """Send what is new, if anything is. A chore."""
        if time.monotonic() < self._rests_until:
            return
        known, now = self._known(), self._clock()
        if self._told is None:
            self._told = self._read()
        due = news(self._told, known, now, self._remind_s)[:_MOST_NOTICES]
        if not due:
            return
        try:
            self._webhook.send([notice for _, notice in due])
        except WebhookFailed as error:
            self._rest(error)
            return
        if self._failures:
            log.info("%s takes alerts again", self._webhook.label)
        self._failures = 0
        self._note(due, known, now)

    def _note(self, due: list[tuple[str, Notice]], known: Troubles, now: float) -> None:
        told = dict(self._told or {})
        for key, notice in due:
            if notice.state == "healed":
                del told[key]
            else:
                told[key] = Told(known[key].trouble, known[key].since, now)
        self._told = told
        self._documents.write(self._path, _TOLD.dump_python(told))

    def _rest(self, error: WebhookFailed) -> None:
        rest_s = min(_REST_S * 2**self._failures, _MAX_REST_S)
        self._failures = min(self._failures + 1, 16)
        self._rests_until = time.monotonic() + rest_s
        log.warning("%s does not take alerts, next try in %.0f s: %s", self._webhook.label, rest_s, error)

    def _read(self) -> dict[str, Told]:
        document = self._documents.read(self._path)
        try:
            return _TOLD.validate_python(document.value) if document is not None else {}
        except ValidationError:
            return {}
