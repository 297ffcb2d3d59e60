"""What the Hub says of a repo and its revisions, kept and refreshed.

A commit is for ever: its info is fetched once. A branch or tag is believed for
`ttl_s`; then one asks, the others go on with the old answer, and when nobody
outside answers the old one serves on. The same call tells whether a repo is private or
gated, so permission costs no call of its own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from dingospeed.errors import (
    BadRequest,
    InvalidCredentials,
    Moved,
    NoLine,
    Offline,
    RepoNotFound,
    RevisionNotFound,
    UpstreamError,
)
from dingospeed.mirror import shapes
from dingospeed.mirror.absences import Absences
from dingospeed.mirror.hearsay import Hearsay, heard_or_told
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.records import Records
from dingospeed.mirror.together import OLD_WAIT_S, PATIENCE_S, Together
from dingospeed.model import Caller, RepoRef, is_commit
from dingospeed.store.documents import Document

log = logging.getLogger(__name__)

# The name of every repo's default branch; the Hub takes HEAD for it.
DEFAULT_REVISION = "main"
_HEAD = "HEAD"


@dataclass(frozen=True, slots=True)
class Revision:
    """A *commit*, and whether the word for it might be out of date."""

    commit: str
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class Visibility:
    """Whether a repo is private, and whether its files are gated (``False``, "auto" or "manual")."""

    is_private: bool
    gated: bool | str

    @property
    def is_public(self) -> bool:
        return not self.is_private and not self.gated


class Metadata:
    """Answers about repos, by *questions* and from *records*."""

    def __init__(
        self,
        *,
        questions: Questions,
        records: Records,
        together: Together,
        absences: Absences,
        ttl_s: float,
        hearsay: Hearsay | None = None,
    ) -> None:
        self._hearsay = hearsay
        self._questions = questions
        self._records = records
        self._together = together
        self._absences = absences
        self._ttl_s = ttl_s

    def revision(self, repo: RepoRef, revision: str, caller: Caller) -> Revision:
        """The commit that *revision* is now.

        Does not check what *caller* may see of a repo already known: that is for Access.
        Raises Moved, RepoNotFound, RevisionNotFound, GatedRepo or UpstreamError.
        """
        if revision == _HEAD:
            revision = DEFAULT_REVISION
        self._follow_move(repo)
        known = self._records.word(repo, revision)
        if known is not None and self._is_good(known, revision):
            return Revision(known.value["commit"])

        def ask() -> str:
            # Who has an old answer does not queue for the new one.
            timeout_s = PATIENCE_S if known is None else 0
            with self._together.alone(f"revision {repo} {revision}", timeout_s=timeout_s) as is_alone:
                meanwhile = self._records.word(repo, revision)
                if meanwhile is not None and (self._is_good(meanwhile, revision) or not is_alone):
                    return str(meanwhile.value["commit"])
                return str(self._ask(repo, revision, caller, is_urgent=known is None)["sha"])

        key = ("revision", repo, revision, self._questions.asker(repo, caller))
        try:
            if known is None:
                return Revision(self._together.ask(key, ask, caller))
            return Revision(self._together.ask(key, ask, caller, wait_s=OLD_WAIT_S, join_s=0))
        except UpstreamError as error:
            if known is None:
                self._follow_move(repo, even_stale=True)
                raise
            level = logging.DEBUG if isinstance(error, Offline) else logging.WARNING
            log.log(level, "%s %s: serving what was known %.0f s ago: %s", repo, revision, known.age_s, error)
            return Revision(known.value["commit"], is_stale=True)

    def held_commit(self, repo: RepoRef, revision: str) -> str | None:
        """The commit that *revision* was known to be last; nobody is asked."""
        known = self._records.word(repo, revision)
        return str(known.value["commit"]) if known is not None else None

    def info(self, repo: RepoRef, commit: str, caller: Caller) -> dict[str, Any]:
        """What the Hub says of the repo at *commit*, without Xet; not to be changed."""
        known = self._records.info(repo, commit)
        if known is not None:
            info: dict[str, Any] = known.value
            return info
        key = ("info", repo, commit, self._questions.asker(repo, caller))
        return self._together.ask(key, lambda: self._ask(repo, commit, caller), caller)

    def visibility(self, repo: RepoRef, caller: Caller) -> Visibility:
        """Who may see the repo, as far as is known now; asked again after `ttl_s`.

        An old answer is believed only when nobody outside gives a new one. Raises Moved,
        RepoNotFound, InvalidCredentials or UpstreamError when it can not be learnt.
        """
        known = self._records.visibility(repo)
        if known is not None and self.is_fresh(known):
            return _visibility(known.value)

        def ask() -> Visibility:
            with self._together.alone(f"visibility {repo}"):
                meanwhile = self._records.visibility(repo)
                if meanwhile is not None and self.is_fresh(meanwhile):
                    return _visibility(meanwhile.value)
                return _visibility(_visibility_told(self._ask(repo, "", caller, is_urgent=known is None)))

        wait_s = PATIENCE_S if known is None else OLD_WAIT_S
        try:
            key = ("visibility", repo, self._questions.asker(repo, caller))
            return self._together.ask(key, ask, caller, wait_s=wait_s)
        except UpstreamError as error:
            if known is None:
                raise
            log.debug("visibility of %s not refreshed: %s", repo, error)
        except RepoNotFound:
            # This caller may not see it; what they get is decided by what is known now.
            if known is None:
                raise
        known = self._records.visibility(repo) or known
        return _visibility(known.value)

    def shown(self, repo: RepoRef, caller: Caller) -> Visibility:
        """Who may see the repo, asked as if nothing of it were held here.

        Raises RepoNotFound or another Refusal where it is not shown to *caller*, UpstreamError when nobody
        can tell: exactly as for a repo that there is not.
        """
        asker = self._questions.asker(repo, caller)
        self._absences.check(repo, asker)

        def ask() -> Visibility:
            try:
                return _visibility(_visibility_told(self._ask_outside(repo, "", caller)))
            except (RepoNotFound, InvalidCredentials) as refusal:
                self._absences.note(repo, asker, refusal)
                raise

        return self._together.ask(("shown", repo, asker), ask, caller)

    def kept_visibility(self, repo: RepoRef) -> Document | None:
        """Who may see the repo, as it was told last; nobody is asked."""
        return self._records.visibility(repo)

    def told_at(self, repo: RepoRef, revision: str) -> float | None:
        """When the word for *revision* was given, in Unix time; None when there is none."""
        word = self._records.word(repo, revision)
        return None if word is None else word.written_at

    def is_fresh(self, document: Document) -> bool:
        """Whether it need not be asked for again yet."""
        return document.age_s < self._ttl_s

    def refs(self, repo: RepoRef, caller: Caller, *, has_pull_requests: bool) -> dict[str, Any]:
        """Branches, tags and converts; from upstream while it answers, else as far as known here."""
        name = "refs-prs" if has_pull_requests else "refs"
        known = self._records.read(repo, name, is_right=shapes.is_refs)
        if known is not None and self.is_fresh(known):
            return dict(known.value)

        def ask() -> dict[str, Any]:
            suffix = "/refs?include_prs=1" if has_pull_requests else "/refs"
            told = self._questions.ask(repo, suffix, caller, is_urgent=known is None).value
            if not shapes.is_refs(told):
                raise NoLine(f"upstream told no refs of {repo}")
            self._records.write(repo, name, value=told)
            return dict(told)

        wait_s = PATIENCE_S if known is None else OLD_WAIT_S
        try:
            key = (name, repo, self._questions.asker(repo, caller))
            return self._together.ask(key, ask, caller, wait_s=wait_s)
        except UpstreamError:
            if known is not None:
                return dict(known.value)
            return self._refs_seen(repo)

    def _ask(self, repo: RepoRef, revision: str, caller: Caller, *, is_urgent: bool = True) -> dict[str, Any]:
        """Learn and keep the info at *revision*, "" for the default branch as the Hub has it."""
        if self._records.visibility(repo) is None:
            self._absences.check(repo, self._questions.asker(repo, caller))
        hearsay = self._hearsay
        return heard_or_told(
            partial(hearsay.info, repo, revision) if hearsay is not None else None,
            partial(self._ask_outside, repo, revision, caller, is_urgent=is_urgent),
        )

    def _ask_outside(
        self, repo: RepoRef, revision: str, caller: Caller, *, is_urgent: bool = True
    ) -> dict[str, Any]:
        is_known = self._records.visibility(repo) is not None
        asker = self._questions.asker(repo, caller)
        suffix = f"/revision/{quote(revision, safe='')}" if revision else ""
        try:
            is_public = self._records.is_known_public(repo)
            info = self._questions.ask(
                repo, suffix, caller, revision=revision, is_public=is_public, is_urgent=is_urgent
            ).value
        except Moved as move:
            self._records.keep_move(repo, move.to)
            raise
        except (RepoNotFound, InvalidCredentials) as refusal:
            if not is_known:
                self._absences.note(repo, asker, refusal)
            # To a token, 401 speaks of the token: it has run out, or was never one.
            if isinstance(refusal, RepoNotFound) and (refusal.status != 401 or caller.is_anonymous):
                self._records.hide(repo)
            raise
        except RevisionNotFound:
            self._records.delete(repo, "revisions", revision)
            raise
        # A repo without a commit has no sha, but someone may or may not see it.
        if not shapes.is_info(info) and (revision or not isinstance(info, dict) or info.get("sha")):
            raise NoLine(f"upstream told no commit for {repo} {revision}")
        if is_commit(revision) and info["sha"] != revision:
            raise NoLine(f"upstream told of another commit than {repo} {revision}")
        self._records.keep_visibility(repo, _visibility_told(info))
        if info.get("sha"):
            self._records.keep_info(repo, revision, info)
        self._records.delete(repo, "moved")
        told: dict[str, Any] = info
        return told

    def _follow_move(self, repo: RepoRef, *, even_stale: bool = False) -> None:
        moved = self._records.move(repo)
        if moved is None or not (even_stale or self.is_fresh(moved)):
            return
        try:
            to = RepoRef.parse(repo.type, moved.value["to"])
        except (RepoNotFound, BadRequest):
            return
        if to != repo:
            raise Moved(repo.id, to=to.id)

    def _refs_seen(self, repo: RepoRef) -> dict[str, Any]:
        """Better than none: the other list, else the names that were asked for, as branches."""
        for name in ("refs", "refs-prs"):
            known = self._records.read(repo, name, is_right=shapes.is_refs)
            if known is not None:
                return {key: value for key, value in known.value.items() if key != "pullRequests"}
        branches = self._records.branches(repo)
        if not branches:
            raise NoLine()
        return {"branches": branches, "tags": [], "converts": []}

    def _is_good(self, word: Document, revision: str) -> bool:
        return is_commit(revision) or self.is_fresh(word)


def _visibility_told(info: dict[str, Any]) -> dict[str, Any]:
    """What an info says of who may see the repo, as it is kept. Public is only what is said to be."""
    gated, id = info.get("gated") or False, info.get("_id")
    return {
        "private": info.get("private") is not False,
        "gated": gated if isinstance(gated, bool | str) else True,
        "id": id if isinstance(id, str) else None,
    }


def _visibility(value: dict[str, Any]) -> Visibility:
    return Visibility(value["private"], value["gated"])
