"""Which repos are used most, remembered over restarts.

One caller counts once in a while, however many files it takes; what was used a week ago counts half.
Each worker gathers, and adds what it has to the one document from time to time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from pathlib import Path

from cachetools import TTLCache

from dingospeed.errors import BadRequest, RepoNotFound, StoreError
from dingospeed.flight.leases import Leases
from dingospeed.model import REPO_TYPES, RepoRef
from dingospeed.store.documents import Documents

log = logging.getLogger(__name__)

_SAME_USE_S = 600
_CALLERS = 65_536
_GATHER_S = 2.0
_PATIENCE_S = 5.0
_HALF_LIFE_S = 7 * 86_400
_KEPT = 4096


class Uses:
    """Counts at *path*, together with all workers of the node."""

    def __init__(self, *, documents: Documents, path: Path, leases: Leases) -> None:
        self._documents = documents
        self._path = path
        self._leases = leases
        self._seen: TTLCache[tuple[RepoRef, str], bool] = TTLCache(_CALLERS, _SAME_USE_S)
        self._new: Counter[str] = Counter()
        self._is_gathering = False
        self._lock = threading.Lock()

    def note(self, repo: RepoRef, address: str) -> None:
        """Somebody at *address* uses *repo*."""
        with self._lock:
            if (repo, address) in self._seen:
                return
            self._seen[(repo, address)] = True
            self._new[str(repo)] += 1
            is_first, self._is_gathering = not self._is_gathering, True
        if is_first:
            threading.Thread(target=self._gather, name="uses", daemon=True).start()

    def most(self) -> list[RepoRef]:
        """All that were used, the most used first."""
        scores = self._scores(time.time())
        ordered = sorted(scores, key=lambda name: (-scores[name], name))
        return [repo for repo in map(_repo, ordered) if repo is not None]

    def _gather(self) -> None:
        time.sleep(_GATHER_S)
        with self._lock:
            new, self._new = self._new, Counter()
            self._is_gathering = False
        try:
            lease = self._leases.acquire("uses", timeout_s=_PATIENCE_S)
            if lease is None:
                return
            with lease:
                now = time.time()
                scores = self._scores(now)
                for name, count in new.items():
                    scores[name] = scores.get(name, 0.0) + count
                kept = sorted(scores, key=lambda name: -scores[name])[:_KEPT]
                self._documents.write(self._path, {"at": now, "uses": {name: scores[name] for name in kept}})
        except (OSError, StoreError) as error:
            log.warning("uses of %d repos not kept: %s", len(new), error)

    def _scores(self, now: float) -> dict[str, float]:
        document = self._documents.read(self._path)
        value = document.value if document is not None else None
        if not isinstance(value, dict) or not isinstance(value.get("uses"), dict):
            return {}
        faded = 0.5 ** (max(0.0, now - value.get("at", now)) / _HALF_LIFE_S)
        return {name: score * faded for name, score in value["uses"].items()}


def _repo(name: str) -> RepoRef | None:
    type, _, id = name.partition("/")
    try:
        return next((RepoRef.parse(known, id) for known in REPO_TYPES if known == type), None)
    except (RepoNotFound, BadRequest):
        return None
