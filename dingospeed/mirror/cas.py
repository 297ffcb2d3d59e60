"""What clients of Xet ask of a CAS, answered from the plain files of the mirror.

A client shows a token where it asks which blocks a file is made of, and nothing but the address it is
told then where it fetches them; so that address holds a ticket. Both are sealed texts that name the repo
and, where it is not open to all, hold the caller's own token for the Hub: each use asks for the same
right as a plain download would, and what is missing is fetched in the caller's name. Nothing is
remembered here: any worker of any node that has the key can answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from cachetools import TTLCache

from dingospeed.errors import Moved, NoLine, Offline, Refusal
from dingospeed.mirror.access import Access
from dingospeed.mirror.files import Files, OpenFile
from dingospeed.mirror.metadata import Visibility
from dingospeed.mirror.rules import RepoRules
from dingospeed.mirror.seals import Seals
from dingospeed.mirror.trees import Trees
from dingospeed.mirror.xet import is_hash
from dingospeed.model import Caller, FileMeta, RepoRef
from dingospeed.store.blobs import Blobs

# What clients are told, and how long a token is good in truth: clocks differ, and to a token that is not
# taken clients have no answer.
TOKEN_TOLD_S, _TOKEN_GOOD_S = 3600, 86_400
# With one that is too old clients ask for another.
_TICKET_GOOD_S = 6 * 3600
_TOKEN, _TICKET = "token", "ticket"
# Trees that were looked at again for the sake of an unknown hash, and how long that is enough.
_LOOKED_AGAIN, _LOOKED_AGAIN_S = 1024, 600


class BadToken(Refusal):
    """Not a token of ours, or one that has run out."""

    status = 401

    def __init__(self) -> None:
        super().__init__("This is no Xet token of this mirror, or it has run out. Start the download again.")


class BadTicket(Refusal):
    """Not a ticket of ours, or one that has run out: clients ask for another."""

    def __init__(self) -> None:
        super().__init__("This address of content has run out, or is not one of this mirror.")


class HashUnknown(Refusal):
    """No file of the repo has this Xet hash."""

    status = 404

    def __init__(self) -> None:
        super().__init__("This repo has no file of that Xet hash.")


class WrongBefore(Refusal):
    """Wrong bytes of the file have left since the caller began, and the rest would complete them."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Wrong bytes of this file went out a moment ago. Start its download again.")


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a sealed text says: files of *repo* at *commit*, or only that of *hash*, for who has *token*.

    *made_at*: seconds since the epoch.
    """

    repo: RepoRef
    commit: str
    token: str | None
    made_at: float
    hash: str = ""


class Cas:
    """Answers clients of Xet."""

    def __init__(
        self,
        *,
        access: Access,
        trees: Trees,
        files: Files,
        blobs: Blobs,
        rules: RepoRules,
        seals: Seals,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._trees = trees
        self._files = files
        self._blobs = blobs
        self._rules = rules
        self._seals = seals
        self._clock = clock
        self._looked_again: TTLCache[tuple[RepoRef, str], bool] = TTLCache(_LOOKED_AGAIN, _LOOKED_AGAIN_S)
        self._lock = threading.Lock()

    def token(self, repo: RepoRef, revision: str, caller: Caller) -> tuple[str, int]:
        """A token for the files of *repo*, and when it runs out, in seconds since the epoch.

        Raises as Files.open does.
        """
        found = self._access.to_commit(repo, revision, caller)
        visibility = self._access.to_files(repo, caller)
        # What is open to all is fetched in nobody's name; a secret that is not needed does not travel.
        token = None if visibility.is_public else caller.token
        grant = _Grant(repo, found.commit, token, self._clock())
        return self._sealed(_TOKEN, grant), int(self._clock()) + TOKEN_TOLD_S

    def find(self, token: str, hash: str, asker: Caller) -> tuple[FileMeta, str]:
        """The file that Xet knows by *hash*, and the ticket that opens it, for who shows *token*.

        *asker*: who they are else. Raises BadToken, HashUnknown, WrongBefore, another Refusal or
        UpstreamError.
        """
        grant = self._opened(_TOKEN, token, _TOKEN_GOOD_S)
        if grant is None:
            raise BadToken()
        caller = replace(asker, token=grant.token)
        self._check(grant, caller)
        meta = self._file(grant, hash, caller)
        return meta, self._sealed(_TICKET, replace(grant, hash=hash, made_at=self._clock()))

    def open(self, ticket: str, asker: Caller) -> tuple[OpenFile, Caller]:
        """The file that *ticket* opens, and for whom. Raises BadTicket, and as `find`."""
        grant = self._opened(_TICKET, ticket, _TICKET_GOOD_S)
        if grant is None:
            raise BadTicket()
        caller = replace(asker, token=grant.token)
        visibility = self._check(grant, caller)
        meta = self._file(grant, grant.hash, caller)
        is_restricted = not visibility.is_public
        return self._files.opened(meta, caller, is_restricted=is_restricted, is_stale=False), caller

    def _check(self, grant: _Grant, caller: Caller) -> Visibility:
        """Who may see the repo. Raises a Refusal when *caller* may not have its files, or not any more."""
        self._rules.check_served(grant.repo)
        try:
            return self._access.to_files(grant.repo, caller)
        except Moved as move:
            raise BadToken() from move

    def _file(self, grant: _Grant, hash: str, caller: Caller) -> FileMeta:
        meta = None
        if is_hash(hash):
            meta = self._known(grant, hash, caller) or self._looked_up(grant, hash, caller)
        if meta is None:
            raise HashUnknown()
        rejected_at = self._blobs.rejected_at(meta.blob)
        if rejected_at is not None and rejected_at >= grant.made_at:
            raise WrongBefore()
        return meta

    def _known(self, grant: _Grant, hash: str, caller: Caller) -> FileMeta | None:
        tree = self._trees.get(grant.repo, grant.commit, caller)
        if tree.is_masked:
            raise NoLine("nobody who answers may see the identities of these files")
        # A client may keep its token for a branch, and ask for what the branch has become.
        others = (other.by_xet_hash(hash) for other in self._trees.all_held(grant.repo))
        return tree.by_xet_hash(hash) or next(filter(None, others), None)

    def _looked_up(self, grant: _Grant, hash: str, caller: Caller) -> FileMeta | None:
        """From a tree told anew: the one that is held may have come without hashes."""
        key = (grant.repo, grant.commit)
        with self._lock:
            if key in self._looked_again:
                return None
            self._looked_again[key] = True
        try:
            return self._trees.again(*key, caller).by_xet_hash(hash)
        except Offline:
            return None

    def _sealed(self, purpose: str, grant: _Grant) -> str:
        repo = grant.repo
        facts = [repo.type, repo.id, grant.commit, grant.token, grant.made_at, grant.hash]
        return self._seals.seal(purpose, facts)

    def _opened(self, purpose: str, text: str, good_s: int) -> _Grant | None:
        facts = self._seals.opened(purpose, text, max_age_s=good_s)
        if facts is None:
            return None
        type, id, *others = facts
        return _Grant(RepoRef.parse(type, id), *others)
