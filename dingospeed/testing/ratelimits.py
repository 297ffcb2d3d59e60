"""How many requests are free in a while, for each caller and each kind of request.

As the Hub counts: a fixed window for "api" and one for "resolvers", told in every answer.
"""

from __future__ import annotations

import math
import time
from threading import Lock

WINDOW_S = 300
QUOTAS = {"api": (500, 1000), "resolvers": (3000, 5000)}


class RateLimits:
    """One line's counting. Anonymous callers share one account."""

    def __init__(self) -> None:
        self._quotas = dict(QUOTAS)
        self._window_s: float = WINDOW_S
        self._begun = 0.0
        self._used: dict[tuple[str, str], int] = {}
        self._lock = Lock()

    def set(self, bucket: str, quota: int, *, window_s: float | None = None) -> None:
        """From now on *quota* requests in each window are free, for everybody. Begins to count anew."""
        with self._lock:
            self._quotas[bucket] = (quota, quota)
            self._window_s = window_s if window_s is not None else self._window_s
            self._used.clear()
            self._begun = 0.0

    def take(self, bucket: str, user: str | None) -> tuple[dict[str, str], int | None]:
        """Count one request: the headers that tell of it, and the seconds to wait if it was one too many."""
        now = time.monotonic()
        with self._lock:
            if now >= self._begun + self._window_s:
                self._begun = now
                self._used.clear()
            quota = self._quotas[bucket][user is not None]
            used = self._used[bucket, user or ""] = self._used.get((bucket, user or ""), 0) + 1
            left_s = math.ceil(self._begun + self._window_s - now)
        headers = {
            "Ratelimit": f'"{bucket}";r={max(0, quota - used)};t={left_s}',
            "Ratelimit-Policy": f'"fixed window";"{bucket}";q={quota};w={math.ceil(self._window_s)}',
        }
        return headers, left_s if used > quota else None
