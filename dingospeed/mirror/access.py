"""Who may have what: every decision is about (a token, a repo).

A public repo is open to all. For the rest the Hub's auth-check decides, asked with the caller's own
token or, for callers without one and only where the operator says so, with the node's.
A yes is remembered on disk, under a salted hash, so that after an outage or an air-gapped
restart those who were let in before still are, for `offline_grace_s`, and nobody else is. Of
those who were not, only the latest are remembered: anybody can make up tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from dataclasses import dataclass
from enum import Enum

from dingospeed.errors import (
    Forbidden,
    GatedRepo,
    InvalidCredentials,
    Moved,
    NoLine,
    Offline,
    Refusal,
    RepoNotFound,
    RevisionNotFound,
    UpstreamError,
)
from dingospeed.mirror import shapes
from dingospeed.mirror.metadata import Metadata, Revision, Visibility
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.rules import NodeToken
from dingospeed.mirror.together import Together
from dingospeed.model import Caller, RepoRef
from dingospeed.store.documents import Documents
from dingospeed.store.keys import own_key
from dingospeed.store.layout import Layout
from dingospeed.store.shelf import Shelf

log = logging.getLogger(__name__)

_MAX_MOVES = 5
# Why somebody was denied: for the token itself, or for want of the right.
_INVALID, _NO_RIGHT = "invalid", "no right"
# In place of a token. With a space in it: nobody can send this one.
_OF_THE_NODE = "the node's own"


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


class Access:
    """Decides, by asking *questions* and remembering: a yes in *documents*, a no in *denials*."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        together: Together,
        questions: Questions,
        documents: Documents,
        layout: Layout,
        times: AccessTimes,
        denials: Shelf,
        node_token: NodeToken | None = None,
    ) -> None:
        self._metadata = metadata
        self._together = together
        self._questions = questions
        self._documents = documents
        self._layout = layout
        self._times = times
        self._node_token = node_token or NodeToken()
        self._salt = own_key(layout.key("salt")).encode()
        self._denials = denials

    def to_listing(self, repo: RepoRef, caller: Caller) -> Visibility:
        """May *caller* know of the repo and list it? Gated repos are listed to everyone.

        Raises a Refusal when not, UpstreamError when it can not be told.
        """
        visibility = self._visibility(repo, caller)
        if visibility.is_private:
            self._decide(repo, caller, visibility)
        return visibility

    def to_files(self, repo: RepoRef, caller: Caller) -> Visibility:
        """May *caller* have the files and know their identities? As `to_listing`, and gates are closed."""
        visibility = self._visibility(repo, caller)
        if not visibility.is_public:
            self._decide(repo, caller, visibility)
        return visibility

    def to_commit(self, repo: RepoRef, revision: str, caller: Caller) -> Revision:
        """As Metadata.revision; but what is no revision, and where the repo has moved to, is told only
        to those who may know of the repo.
        """
        try:
            return self._metadata.revision(repo, revision, caller)
        except RevisionNotFound:
            self.to_listing(repo, caller)
            raise
        except Moved as move:
            self._to_new_name(repo, move, caller, _MAX_MOVES)
            raise

    def standing(self, repo: RepoRef, caller: Caller) -> Standing:
        """What a decision about *caller* would begin with; asks nobody."""
        token = self._token(repo, caller)
        if token is None:
            return Standing.TOKENLESS
        key = self._hash(token, repo)
        known = shapes.kept(self._documents, self._layout.access(repo, key), shapes.is_decision)
        age_s = abs(time.time() - known.written_at) if known and known.value["allowed"] else float("inf")
        if age_s < self._times.allowed_s:
            return Standing.ALLOWED
        denied = self._denials.read(key)
        if denied and abs(time.time() - denied.written_at) < self._times.denied_s:
            return Standing.DENIED
        return Standing.TRUSTED if age_s < self._times.offline_grace_s else Standing.UNKNOWN

    def _visibility(self, repo: RepoRef, caller: Caller, moves_left: int = _MAX_MOVES) -> Visibility:
        try:
            return self._metadata.visibility(repo, caller)
        except Moved as move:
            self._to_new_name(repo, move, caller, moves_left)
            raise

    def _to_new_name(self, repo: RepoRef, move: Moved, caller: Caller, moves_left: int) -> None:
        """Raises what says that *caller* may not know where *repo* has moved to."""
        if not moves_left:
            raise NoLine(f"{repo} moves without end")
        target = RepoRef.parse(repo.type, move.to)
        try:
            visibility = self._visibility(target, caller, moves_left - 1)
            if visibility.is_private:
                self._decide(target, caller, visibility)
        except Moved:
            return
        except RepoNotFound as refusal:
            raise RepoNotFound(repo.id, anonymous=refusal.status == 401) from refusal

    def _decide(self, repo: RepoRef, caller: Caller, visibility: Visibility) -> None:
        """Raises what says that *caller* may not have the files, or UpstreamError when nobody can tell."""
        token = self._token(repo, caller)
        if token is None:
            # That a private repo is held here is nothing to be found out by its way of being refused.
            shown = self._metadata.shown(repo, caller) if visibility.is_private else visibility
            if shown.is_public:
                return
            raise _denial(repo, shown, caller)
        key = self._hash(token, repo)
        path = self._layout.access(repo, key)
        known = shapes.kept(self._documents, path, shapes.is_decision)
        is_allowed = bool(known and known.value["allowed"])
        # A decision from the future is as old as it is far off: clocks jump.
        age_s = abs(time.time() - known.written_at) if known else 0.0
        if is_allowed and age_s < self._times.allowed_s:
            return
        denied = self._denials.read(key)
        if denied and abs(time.time() - denied.written_at) < self._times.denied_s:
            raise _denial(repo, visibility, caller, is_invalid=denied.value == _INVALID)
        try:
            self._together.ask(
                ("access", path),
                lambda: self._questions.is_let_in(repo, caller, is_urgent=not is_allowed),
                caller,
            )
        except Refusal as refusal:
            is_invalid = isinstance(refusal, InvalidCredentials)
            self._denials.write(key, _INVALID if is_invalid else _NO_RIGHT)
            if known is not None:
                self._documents.delete(path)
            raise _denial(repo, visibility, caller, is_invalid=is_invalid) from refusal
        except UpstreamError as error:
            if is_allowed and age_s < self._times.offline_grace_s:
                log.info("%s: a caller let in %.0f s ago is let in on trust: %s", repo, age_s, error)
                return
            # Of a private repo not even that it is here: the answer is that for one that is not.
            if isinstance(error, Offline) and not visibility.is_private:
                what = "This mirror is offline and has not seen this token let in before."
                raise Forbidden(what) from error
            raise
        self._documents.write(path, {"allowed": True})

    def _token(self, repo: RepoRef, caller: Caller) -> str | None:
        """The token that is judged: the caller's own, else the node's where it stands in."""
        if caller.token is None and self._node_token.stands_in(repo, caller):
            return _OF_THE_NODE
        return caller.token

    def _hash(self, token: str, repo: RepoRef) -> str:
        return hmac.new(self._salt, f"{token} {repo}".encode(), hashlib.sha256).hexdigest()


def _denial(repo: RepoRef, visibility: Visibility, caller: Caller, *, is_invalid: bool = False) -> Refusal:
    if is_invalid and not caller.is_anonymous:
        return InvalidCredentials()
    if visibility.is_private:
        return RepoNotFound(repo.id, anonymous=caller.is_anonymous)
    return GatedRepo(repo.id, anonymous=caller.is_anonymous)
