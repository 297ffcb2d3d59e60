"""What was asked of the fake Hub, call by call."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

Host = Literal["hub", "cdn"]

UNKNOWN_TOKEN = "?"


@dataclass(eq=False)
class Call:
    """One request and what became of it; the last five are written while it is answered.

    *kind* is where it went: "api", "resolve", "raw", "resolve-cache", "registry", "git", "cdn" or
    "other"; *route* says more: "revision", "tree", "paths-info" of the API, "git-upload-pack" of git…
    *authorization* is the user whose token was sent, "?" for a token of nobody, else None.
    *path* is decoded, *query* is not; *time* and *ended* are in seconds since the epoch, *ended* None
    until nothing more will be sent.
    """

    host: Host
    kind: str
    method: str
    path: str
    query: str
    range: str | None
    authorization: str | None
    user_agent: str | None
    time: float = field(default_factory=time.time)
    route: str = ""
    status: int = 0
    bytes_sent: int = 0
    ended: float | None = None
    faults: list[str] = field(default_factory=list)


class Counters:
    """Calls in the order they came in, from the moment they were read."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._lock = Lock()

    @property
    def calls(self) -> list[Call]:
        """A copy of the list; the calls in it go on changing while they are answered."""
        with self._lock:
            return list(self._calls)

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def reset(self) -> None:
        with self._lock:
            self._calls.clear()
