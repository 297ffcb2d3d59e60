"""Repos that are not there for somebody: remembered for a short while, so that asking again is cheap.

On a shelf, so that all workers know, and of the latest only, as anybody can make up names and
tokens; who was refused stands there under a salted hash.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Hashable

from dingospeed.errors import InvalidCredentials, Refusal, RepoNotFound
from dingospeed.model import RepoRef
from dingospeed.store.shelf import Shelf

# In place of a status: it was about the token.
_INVALID = 0


class Absences:
    """Remembers on the *shelf*, for *ttl_s*, what was refused, unless the repo was changed meanwhile.

    *changed_at* tells when it was last changed through this node, in seconds since the epoch.
    """

    def __init__(
        self, *, shelf: Shelf, salt: bytes, ttl_s: float, changed_at: Callable[[RepoRef], float]
    ) -> None:
        self._shelf = shelf
        self._salt = salt
        self._ttl_s = ttl_s
        self._changed_at = changed_at

    def check(self, repo: RepoRef, asker: Hashable) -> None:
        """Raises again what *asker* was told of *repo* a moment ago."""
        noted = self._shelf.read(self._key(repo, asker))
        if noted is None or not isinstance(noted.value, int):
            return
        # One from the future is as old as it is far off: clocks jump.
        is_young = noted.age_s < self._ttl_s
        if not is_young or self._changed_at(repo) >= noted.written_at:
            return
        if noted.value == _INVALID:
            raise InvalidCredentials()
        raise RepoNotFound(repo.id, anonymous=noted.value == 401)

    def note(self, repo: RepoRef, asker: Hashable, refusal: Refusal) -> None:
        """Remember that *asker* was told that there is no *repo*, or that their token is none."""
        status = refusal.status if isinstance(refusal, RepoNotFound) else _INVALID
        self._shelf.write(self._key(repo, asker), status)

    def _key(self, repo: RepoRef, asker: Hashable) -> str:
        return hmac.new(self._salt, f"absent {asker!r} {repo}".encode(), hashlib.sha256).hexdigest()
