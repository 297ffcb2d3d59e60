"""Where a redirect leads, and whether the token may go along.

Relative targets and those of the very same origin keep the token, everything else is
a CDN and gets nothing (RFC 9110 section 15.4; the Hub's clients do the same). An origin is read with
urllib3's own parser: another one could see another host than the one we connect to.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from dingospeed.errors import LineFailed

Origin = tuple[str, str, int]

MAX_REDIRECTS = 5
_STATUSES = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> Origin | None:
    """Scheme, host and port of *url*, None when it has none we can speak to."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    if parts.scheme not in _PORTS or not parts.host:
        return None
    return parts.scheme, parts.host, parts.port or _PORTS[parts.scheme]


def location(status: int, headers: Mapping[str, str]) -> str | None:
    """The text of Location, None when the answer is no redirect."""
    text = headers.get("Location") if status in _STATUSES else None
    # Header text comes as latin-1 although servers write UTF-8.
    return text.encode("latin-1", "replace").decode("utf-8", "replace") if text else None


def target(url: str, location: str, *, line: str) -> str:
    """The absolute URL that *location*, found at *url*, leads to.

    Raises LineFailed when it leads nowhere, or from https down to http.
    """
    if any(char <= " " or char in "\\\x7f" for char in location):
        raise LineFailed(line, "redirects to something that is no URL")
    # A joined path of our own scheme and host can not name another host.
    found = urljoin(url, location)
    here, there = origin(url), origin(found)
    if there is None or parse_url(found).auth is not None:
        raise LineFailed(line, "redirects to something that is no URL")
    if here is not None and here[0] == "https" and there[0] == "http":
        raise LineFailed(line, "redirects from https down to http")
    return found
