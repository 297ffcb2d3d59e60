"""Who may have what: every decision is about (a token, a repo).

A public repo is open to all. For the rest the Hub's auth-check decides, asked with the caller's own
token or, for callers without one and only where the operator says so, with the node's.
What it said is remembered, see mirror/decisions.py.
"""

from __future__ import annotations

import logging

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
from dingospeed.mirror.decisions import Decisions, Standing
from dingospeed.mirror.metadata import Metadata, Revision, Visibility
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.rules import NodeToken
from dingospeed.mirror.together import Together
from dingospeed.model import Caller, RepoRef

log = logging.getLogger(__name__)

_MAX_MOVES = 5
# In place of a token. With a space in it: nobody can send this one.
_OF_THE_NODE = "the node's own"


class Access:
    """Decides, by asking *questions* and remembering the *decisions*."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        together: Together,
        questions: Questions,
        decisions: Decisions,
        node_token: NodeToken | None = None,
    ) -> None:
        self._metadata = metadata
        self._together = together
        self._questions = questions
        self._decisions = decisions
        self._node_token = node_token or NodeToken()

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
        return Standing.TOKENLESS if token is None else self._decisions.about(repo, token).standing

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
        decided = self._decisions.about(repo, token)
        if decided.standing is Standing.ALLOWED:
            return
        if decided.standing is Standing.DENIED:
            raise _denial(repo, visibility, caller, is_invalid=decided.is_invalid)
        is_urgent = decided.yes_age_s is None
        try:
            self._together.ask(
                ("access", repo, token),
                lambda: self._questions.is_let_in(repo, caller, is_urgent=is_urgent),
                caller,
            )
        except Refusal as refusal:
            is_invalid = isinstance(refusal, InvalidCredentials)
            self._decisions.keep_no(repo, token, is_invalid=is_invalid)
            raise _denial(repo, visibility, caller, is_invalid=is_invalid) from refusal
        except UpstreamError as error:
            if decided.standing is Standing.TRUSTED:
                age_s = decided.yes_age_s
                log.info("%s: a caller let in %.0f s ago is let in on trust: %s", repo, age_s, error)
                return
            # Of a private repo not even that it is here: the answer is that for one that is not.
            if isinstance(error, Offline) and not visibility.is_private:
                what = "This mirror is offline and has not seen this token let in before."
                raise Forbidden(what) from error
            raise
        self._decisions.keep_yes(repo, token)

    def _token(self, repo: RepoRef, caller: Caller) -> str | None:
        """The token that is judged: the caller's own, else the node's where it stands in."""
        if caller.token is None and self._node_token.stands_in(repo, caller):
            return _OF_THE_NODE
        return caller.token


def _denial(repo: RepoRef, visibility: Visibility, caller: Caller, *, is_invalid: bool = False) -> Refusal:
    if is_invalid and not caller.is_anonymous:
        return InvalidCredentials()
    if visibility.is_private:
        return RepoNotFound(repo.id, anonymous=caller.is_anonymous)
    return GatedRepo(repo.id, anonymous=caller.is_anonymous)
