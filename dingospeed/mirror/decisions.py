"""What was decided about callers, remembered under salted hashes of their tokens.

A yes is kept on disk with the repo, so that after an outage or an air-gapped restart those who were let
in before still are, for `offline_grace_s`, and nobody else is. Of those who were not, only the latest
are remembered: anybody can make up tokens.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum

from dingospeed.mirror import shapes
from dingospeed.model import RepoRef
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout
from dingospeed.store.shelf import Shelf

# Why somebody was denied: for the token itself, or for want of the right.
_INVALID, _NO_RIGHT = "invalid", "no right"


@dataclass(frozen=True, slots=True)
class AccessTimes:
    """How long a decision holds, in seconds: a yes, a no, and a yes while nobody can be asked."""

    allowed_s: float
    denied_s: float
    offline_grace_s: float


class Standing(Enum):
    """What is remembered of a caller at a repo that is not public."""

    ALLOWED = "let in"
    TRUSTED = "let in a while ago"
    DENIED = "refused a moment ago"
    TOKENLESS = "without a token"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Decision:
    """How a token stands; *yes_age_s* is None when there was no yes, *is_invalid* says why it was a no."""

    standing: Standing
    yes_age_s: float | None
    is_invalid: bool = False


class Decisions:
    """A yes lies in *documents*, a no in *denials*; *times* say how long they hold."""

    def __init__(
        self, *, documents: Documents, layout: Layout, denials: Shelf, salt: bytes, times: AccessTimes
    ) -> None:
        self._documents = documents
        self._layout = layout
        self._denials = denials
        self._salt = salt
        self._times = times

    def about(self, repo: RepoRef, token: str) -> Decision:
        """Never TOKENLESS."""
        key = self._key(repo, token)
        known = shapes.kept(self._documents, self._layout.access(repo, key), shapes.is_decision)
        yes_age_s = known.age_s if known is not None and known.value["allowed"] else None
        if yes_age_s is not None and yes_age_s < self._times.allowed_s:
            return Decision(Standing.ALLOWED, yes_age_s)
        denied = self._denials.read(key)
        if denied is not None and denied.age_s < self._times.denied_s:
            return Decision(Standing.DENIED, yes_age_s, is_invalid=denied.value == _INVALID)
        is_trusted = yes_age_s is not None and yes_age_s < self._times.offline_grace_s
        return Decision(Standing.TRUSTED if is_trusted else Standing.UNKNOWN, yes_age_s)

    def keep_yes(self, repo: RepoRef, token: str) -> None:
        self._documents.write(self._layout.access(repo, self._key(repo, token)), {"allowed": True})

    def keep_no(self, repo: RepoRef, token: str, *, is_invalid: bool) -> None:
        """A yes that was given before is gone."""
        key = self._key(repo, token)
        self._denials.write(key, _INVALID if is_invalid else _NO_RIGHT)
        self._documents.delete(self._layout.access(repo, key))

    def _key(self, repo: RepoRef, token: str) -> str:
        return hmac.new(self._salt, f"{token} {repo}".encode(), hashlib.sha256).hexdigest()
