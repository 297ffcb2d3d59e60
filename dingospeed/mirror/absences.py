"""Repos that are not there for somebody: remembered for a short while, so that asking again is cheap.

In memory and of the latest only, as anybody can make up names and tokens.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Hashable

from cachetools import LRUCache

from dingospeed.errors import InvalidCredentials, Refusal, RepoNotFound
from dingospeed.model import RepoRef

_MOST = 10_000


class Absences:
    """Remembers for *ttl_s* what was refused, unless the repo was changed meanwhile.

    *changed_at* tells when it was last changed through this node, in seconds since the epoch.
    """

    def __init__(self, *, ttl_s: float, changed_at: Callable[[RepoRef], float]) -> None:
        self._ttl_s = ttl_s
        self._changed_at = changed_at
        # When, and with which status; 0 when it was about the token.
        self._refused: LRUCache[tuple[str, RepoRef], tuple[float, int]] = LRUCache(_MOST)
        self._lock = threading.Lock()

    def check(self, repo: RepoRef, asker: Hashable) -> None:
        """Raises again what *asker* was told of *repo* a moment ago."""
        with self._lock:
            noted_at, status = self._refused.get((_hash(asker), repo), (0.0, 0))
        # One from the future is as old as it is far off: clocks jump.
        if abs(time.time() - noted_at) >= self._ttl_s or self._changed_at(repo) >= noted_at:
            return
        if status == 0:
            raise InvalidCredentials()
        raise RepoNotFound(repo.id, anonymous=status == 401)

    def note(self, repo: RepoRef, asker: Hashable, refusal: Refusal) -> None:
        """Remember that *asker* was told that there is no *repo*, or that their token is none."""
        status = refusal.status if isinstance(refusal, RepoNotFound) else 0
        with self._lock:
            self._refused[_hash(asker), repo] = time.time(), status


def _hash(asker: Hashable) -> str:
    return hashlib.sha256(repr(asker).encode()).hexdigest()
