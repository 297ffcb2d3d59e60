"""Rate limits as upstreams tell them: Retry-After, RateLimit and RateLimit-Policy.

The last two follow draft-ietf-httpapi-ratelimit-headers: ``"api";r=0;t=55`` and, as the Hub
writes it, ``"fixed window";"api";q=500;w=300``. The bucket is the last quoted word.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime

DEFAULT_WAIT_S = 10.0
# The budget of a CDN, of which nothing is told.
CDN = "cdn"
_MAX_WAIT_S = 3600.0
_MAX_BUCKETS = 16
_ITEM = re.compile(r'(?:[^",]|"[^"]*")+')
_QUOTED = re.compile(r'"([^"]*)"')
_PARAMETER = re.compile(r";\s*([a-z]+)\s*=\s*([0-9]{1,9})(?![0-9])")
_SECONDS = re.compile(r"\s*([0-9]{1,9})\s*\Z")


@dataclass(frozen=True, slots=True)
class Budget:
    """What one bucket had left at *seen_at*; None for what was not told."""

    remaining: int | None
    reset_s: float | None
    quota: int | None
    window_s: float | None
    seen_at: float


def budgets(headers: Mapping[str, str], now: float) -> dict[str, Budget]:
    """The budgets an answer tells of, by bucket; empty when it tells of none."""
    limits = _items(headers.get("RateLimit", ""))
    policies = _items(headers.get("RateLimit-Policy", ""))
    return {
        bucket: Budget(
            remaining=limits.get(bucket, {}).get("r"),
            reset_s=limits.get(bucket, {}).get("t"),
            quota=policies.get(bucket, {}).get("q"),
            window_s=policies.get(bucket, {}).get("w"),
            seen_at=now,
        )
        for bucket in list(limits | policies)[:_MAX_BUCKETS]
    }


def wait_s(headers: Mapping[str, str], now: float) -> float:
    """How long a 429 asks us to stay away, in seconds from *now* (Unix time).

    Between one second and one hour: a slip of the pen must not cost a line its day.
    """
    told = _retry_after_s(headers.get("Retry-After", ""), now)
    if told is None:
        told = _reset_s(headers.get("RateLimit", ""))
    return min(max(told if told is not None else DEFAULT_WAIT_S, 1.0), _MAX_WAIT_S)


def budget_of(path: str, token: str | None) -> str:
    """A bucket and an account of it: the Hub counts API calls and files apart, and by token or address."""
    is_file = "/resolve/" in path or path.startswith("/api/resolve-cache/")
    account = hashlib.sha256(token.encode()).hexdigest()[:16] if token else "anonymous"
    return f"{'resolvers' if is_file else 'api'} {account}"


def http_date(text: str) -> float | None:
    """Unix time of an HTTP date, None when it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _retry_after_s(text: str, now: float) -> float | None:
    if seconds := _SECONDS.match(text):
        return float(seconds[1])
    moment = http_date(text)
    return None if moment is None else moment - now


def _reset_s(text: str) -> float | None:
    limits = _items(text).values()
    exhausted = [limit["t"] for limit in limits if "t" in limit and limit.get("r") == 0]
    return max(exhausted or [limit["t"] for limit in limits if "t" in limit], default=None)


def _items(text: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for item in _ITEM.findall(text):
        if names := _QUOTED.findall(item):
            unquoted = _QUOTED.sub("", item)
            found[names[-1]] = {key: int(value) for key, value in _PARAMETER.findall(unquoted)}
    return found
