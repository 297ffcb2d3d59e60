"""Where files were last found: signed CDN addresses and the like, kept while they last.

A resolver call costs a round trip and a piece of the Hub's budget, and a file is fetched in
many segments. So the place the first of them found is remembered by the file's path, and the
others that start at the same moment wait for it.

The path alone is the key, no token: whether this caller may have the file was decided
above, for this very request, and the bytes at a path of a commit are the same for everyone.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import parse_qsl, urlsplit

DEFAULT_LIFETIME_S = 300.0
_MAX_LIFETIME_S = 86_400.0
_MARGIN_S = 30.0
_SECONDS = re.compile(r"[0-9]{1,11}\Z")
# A moment of signing and the seconds from then, by their names in the query.
_SIGNED = (("x-amz-date", "x-amz-expires"), ("x-goog-date", "x-goog-expires"))


@dataclass(frozen=True, slots=True)
class Location:
    """A place to read a file from. *is_own*: on the line itself, so the token may go there."""

    url: str = field(repr=False)
    is_own: bool


class Locations:
    """At most *limit* locations by path, the ones about to expire dropped first."""

    def __init__(self, *, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Location, float]] = {}
        self._searching: dict[str, threading.Event] = {}

    @contextmanager
    def search(self, path: str, *, wait_s: float) -> Iterator[Location | None]:
        """The location of *path*, or None: then the block has to find it and `keep` it.

        While one searches, others wait for it at most *wait_s*, then search for themselves.
        """
        with self._lock:
            found = self._fresh(path)
            other = self._searching.get(path)
            mine = threading.Event() if found is None and other is None else None
            if mine is not None:
                self._searching[path] = mine
        if found is None and other is not None:
            other.wait(wait_s)
            with self._lock:
                found = self._fresh(path)
        try:
            yield found
        finally:
            if mine is not None:
                with self._lock:
                    del self._searching[path]
                mine.set()

    def keep(self, path: str, location: Location, *, lifetime_s: float) -> None:
        """Remember *location* for as long as it is good, less a margin."""
        kept_s = max(lifetime_s - _MARGIN_S, lifetime_s / 2)
        if kept_s <= 0:
            return
        with self._lock:
            self._kept.pop(path, None)
            while len(self._kept) >= self._limit:
                del self._kept[min(self._kept, key=lambda path: self._kept[path][1])]
            self._kept[path] = (location, self._clock() + kept_s)

    def forget(self, path: str, location: Location) -> None:
        """Drop *location*, unless another has taken its place already."""
        with self._lock:
            if path in self._kept and self._kept[path][0] == location:
                del self._kept[path]

    def _fresh(self, path: str) -> Location | None:
        location, until = self._kept.get(path, (None, 0.0))
        return location if self._clock() < until else None


def lifetime_s(url: str, now: float) -> float:
    """How long a signed *url* is good for, in seconds from *now* (Unix time).

    Read from ``Expires`` (CloudFront), ``X-Amz-Date`` with ``X-Amz-Expires`` (S3), the same of
    Google, or ``se`` (Azure); the default when it tells nothing.
    """
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    ends = [_seconds(query.get("expires", "")), _moment(query.get("se", ""))]
    for signed, seconds in _SIGNED:
        start, length = _moment(query.get(signed, "")), _seconds(query.get(seconds, ""))
        ends.append(start + length if start is not None and length is not None else None)
    told = [end for end in ends if end is not None]
    return min(min(told) - now, _MAX_LIFETIME_S) if told else DEFAULT_LIFETIME_S


def _seconds(text: str) -> float | None:
    return float(text) if _SECONDS.match(text) else None


def _moment(text: str) -> float | None:
    """Unix time of an ISO 8601 moment, basic or extended; UTC unless it says otherwise."""
    # Python 3.10 reads the extended form only.
    extended = re.sub(r"\A(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)\Z", r"\1-\2-\3:\4:\5", text)
    try:
        moment = datetime.fromisoformat(extended.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
