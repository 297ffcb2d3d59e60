"""Misbehaviour on command: which fault meets which request, and how often.

What the faults do is in faultkinds. A fault meets a request when place, path and method fit and
its kind finds something to spoil there; only then it counts as a hit.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event, Lock

from dingospeed.testing.mischief import FaultKind
from dingospeed.testing.wire import Reply, Request

# Where a fault may sit, and the kinds of calls that are hit there.
PLACES: Mapping[str, frozenset[str]] = {
    "any": frozenset({"api", "resolve", "raw", "resolve-cache", "registry", "git", "other", "cdn"}),
    "hub": frozenset({"api", "resolve", "raw", "resolve-cache", "registry", "git", "other"}),
    "cdn": frozenset({"cdn"}),
    "api": frozenset({"api"}),
    "resolve": frozenset({"resolve", "raw"}),
    "resolve-cache": frozenset({"resolve-cache"}),
    "registry": frozenset({"registry"}),
    "git": frozenset({"git"}),
}

_numbers = itertools.count(1)


@dataclass(eq=False)
class Fault:
    """A fault that was set. *skip* requests pass before it begins; it ends after *times* hits."""

    where: str
    name: str
    kind: FaultKind
    path: str | None = None
    method: str | None = None
    times: int | None = None
    skip: int = 0
    hits: int = 0
    number: int = field(default_factory=lambda: next(_numbers))
    _removed: Event = field(default_factory=Event, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        if self.where not in PLACES:
            raise ValueError(f"{self.where!r} is none of {', '.join(PLACES)}")
        self._pattern = re.compile(self.path) if self.path is not None else None

    def remove(self) -> None:
        """Never hit again; whoever is being held up goes on."""
        self._removed.set()

    def wait(self, seconds: float) -> None:
        """Returns at once when the fault is, or gets, removed."""
        self._removed.wait(seconds)

    @property
    def is_over(self) -> bool:
        return self._removed.is_set() or (self.times is not None and self.hits >= self.times)

    def sits_at(self, call_kind: str, request: Request) -> bool:
        return (
            call_kind in PLACES[self.where]
            and self.method in (None, request.method)
            and (self._pattern is None or self._pattern.search(request.path) is not None)
        )

    def claim(self) -> bool:
        """Count a hit. False when this request is to pass after all."""
        with self._lock:
            if self.is_over:
                return False
            if self.skip:
                self.skip -= 1
                return False
            self.hits += 1
            return True


class FaultBook:
    """The faults of one line, in the order they were set; several may meet one request."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    @property
    def faults(self) -> list[Fault]:
        return [fault for fault in self._faults if not fault.is_over]

    def add(self, fault: Fault) -> Fault:
        self._faults = [*self.faults, fault]
        return fault

    def clear(self) -> None:
        faults, self._faults = self._faults, []
        for fault in faults:
            fault.remove()

    def at(self, call_kind: str, request: Request) -> list[Fault]:
        return [fault for fault in self.faults if fault.sits_at(call_kind, request)]


def meet_request(faults: list[Fault], request: Request, hit: list[str]) -> Request | Reply:
    """The request as it is to be understood, or an answer in its place; adds those hit to *hit*, by name.

    Raises HangUp.
    """
    for fault in faults:
        if fault.kind.spoils_request(request) and fault.claim():
            hit.append(fault.name)
            outcome = fault.kind.on_request(request, fault.wait)
            if isinstance(outcome, Reply):
                return outcome
            request = outcome
    return request


def meet_reply(faults: list[Fault], request: Request, reply: Reply, hit: list[str]) -> None:
    """Spoil *reply*; adds those hit to *hit*, by name."""
    for fault in faults:
        if fault.kind.spoils_reply(request, reply) and fault.claim():
            hit.append(fault.name)
            fault.kind.on_reply(reply, fault.wait)
