"""What the Hub says of a repo and its revisions, kept and refreshed.

A commit is for ever: its info is fetched once. A branch or tag is believed for
`ttl_s`; then one asks, the others go on with the old answer, and when nobody
outside answers the old one serves on. The same call tells whether a repo is private or
gated, so permission costs no call of its own.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from dingospeed.errors import InvalidCredentials, Moved, NoLine, RepoNotFound, RevisionNotFound, UpstreamError
from dingospeed.flight.leases import Leases
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.xet import without_xet
from dingospeed.model import Caller, RepoRef, is_commit
from dingospeed.store.documents import Document, Documents
from dingospeed.store.layout import Layout

log = logging.getLogger(__name__)

# A question waits so long for another process that asks the same; clients give up after ten seconds.
_TOGETHER_S = 8
# The name of every repo's default branch.
DEFAULT_REVISION = "main"


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
    """Answers about repos; documents are fetched by *questions* and kept in *documents*."""

    def __init__(
        self, *, questions: Questions, documents: Documents, layout: Layout, leases: Leases, ttl_s: float
    ) -> None:
        self._questions = questions
        self._documents = documents
        self._layout = layout
        self._leases = leases
        self._ttl_s = ttl_s

    def revision(self, repo: RepoRef, revision: str, caller: Caller) -> Revision:
        """The commit that *revision* is now.

        Does not check what *caller* may see of a repo already known: that is for Access.
        Raises Moved, RepoNotFound, RevisionNotFound, GatedRepo or UpstreamError.
        """
        self._follow_move(repo)
        if is_commit(revision) and self._documents.read(self._layout.api(repo, "infos", revision)):
            return Revision(revision)
        path = self._layout.api(repo, "revisions", revision)
        known = self._documents.read(path)
        if known is not None and self._is_fresh(known):
            return Revision(known.value["commit"])
        key = f"revision {repo} {revision}"
        # Who has an old answer does not queue for the new one.
        timeout_s = _TOGETHER_S if known is None else 0
        lease = self._leases.acquire(key, timeout_s=timeout_s)
        try:
            asked_meanwhile = self._documents.read(path)
            if asked_meanwhile is not None and self._is_fresh(asked_meanwhile):
                return Revision(asked_meanwhile.value["commit"])
            if lease is None and known is not None:
                return Revision(known.value["commit"])
            return Revision(self._ask_revision(repo, revision, caller))
        except UpstreamError as error:
            if known is None:
                self._follow_move(repo, even_stale=True)
                raise
            log.warning("%s %s: serving what was known %.0f s ago: %s", repo, revision, _age(known), error)
            return Revision(known.value["commit"], is_stale=True)
        finally:
            if lease is not None:
                lease.release()

    def info(self, repo: RepoRef, commit: str, caller: Caller) -> dict[str, Any]:
        """What the Hub says of the repo at *commit*, without Xet; not to be changed."""
        document = self._documents.read(self._layout.api(repo, "infos", commit))
        if document is None:
            self._ask_revision(repo, commit, caller)
            document = self._documents.read(self._layout.api(repo, "infos", commit))
        if document is None:
            raise NoLine("the cache has no space for what upstream answered")
        info: dict[str, Any] = document.value
        return info

    def visibility(self, repo: RepoRef, caller: Caller) -> Visibility:
        """Who may see the repo, as far as is known now; asked again after `ttl_s`.

        Raises RepoNotFound or UpstreamError when it is not known and can not be learnt.
        """
        path = self._layout.api(repo, "visibility")
        known = self._documents.read(path)
        if known is None or not self._is_fresh(known):
            lease = self._leases.acquire(f"visibility {repo}", timeout_s=_TOGETHER_S if known is None else 0)
            try:
                if lease is not None:
                    self._ask_revision(repo, "", caller)
            except UpstreamError as error:
                if known is None:
                    raise
                log.debug("visibility of %s not refreshed: %s", repo, error)
            except (RepoNotFound, InvalidCredentials):
                # This caller may not see it; what they get is decided by what is known now.
                if known is None:
                    raise
            finally:
                if lease is not None:
                    lease.release()
            known = self._documents.read(path) or known
        if known is None:
            raise NoLine("the visibility of the repo could not be learnt")
        return Visibility(known.value["private"], known.value["gated"])

    def refs(self, repo: RepoRef, caller: Caller, *, has_pull_requests: bool) -> dict[str, Any]:
        """Branches, tags and converts; from upstream while it answers, else as far as known here."""
        path = self._layout.api(repo, "refs-prs" if has_pull_requests else "refs")
        known = self._documents.read(path)
        if known is None or not self._is_fresh(known):
            try:
                suffix = "/refs?include_prs=1" if has_pull_requests else "/refs"
                refs: dict[str, Any] = self._questions.ask(repo, suffix, caller).value
                self._documents.write(path, refs)
                return refs
            except UpstreamError:
                if known is None:
                    return self._refs_seen(repo)
        found: dict[str, Any] = known.value
        return found

    def _ask_revision(self, repo: RepoRef, revision: str, caller: Caller) -> str:
        """Fetch and keep the info at *revision*, "" for the default branch; its commit."""
        suffix = f"/revision/{quote(revision, safe='')}" if revision else ""
        try:
            info = self._questions.ask(repo, suffix, caller, revision=revision).value
        except Moved as move:
            self._documents.write(self._layout.api(repo, "moved"), {"to": move.to})
            raise
        except RepoNotFound:
            self._note_hidden(repo)
            raise
        except RevisionNotFound:
            self._documents.delete(self._layout.api(repo, "revisions", revision))
            raise
        commit = info.get("sha") if isinstance(info, dict) else None
        if not isinstance(commit, str) or not is_commit(commit):
            raise NoLine(f"upstream told no commit for {repo} {revision}")
        self._note_visibility(repo, bool(info.get("private")), info.get("gated") or False)
        self._documents.write(self._layout.api(repo, "infos", commit), without_xet(info))
        if revision and not is_commit(revision):
            self._documents.write(self._layout.api(repo, "revisions", revision), {"commit": commit})
        self._documents.delete(self._layout.api(repo, "moved"))
        return commit

    def _note_visibility(self, repo: RepoRef, is_private: bool, gated: bool | str) -> None:
        self._documents.write(self._layout.api(repo, "visibility"), {"private": is_private, "gated": gated})

    def _note_hidden(self, repo: RepoRef) -> None:
        """A repo that we knew is denied to somebody: from now on each caller has to prove their right."""
        known = self._documents.read(self._layout.api(repo, "visibility"))
        if known is not None:
            self._note_visibility(repo, True, known.value["gated"])

    def _follow_move(self, repo: RepoRef, *, even_stale: bool = False) -> None:
        moved = self._documents.read(self._layout.api(repo, "moved"))
        if moved is not None and (even_stale or self._is_fresh(moved)):
            raise Moved(repo.id, to=moved.value["to"])

    def _refs_seen(self, repo: RepoRef) -> dict[str, Any]:
        """Better than none: the names that were asked for, as branches."""
        folder = self._layout.api(repo, "revisions", "x").parent
        branches = []
        for path in sorted(folder.glob("*.json")):
            name, document = unquote(path.stem), self._documents.read(path)
            if document is not None and not name.startswith("refs/"):
                ref = {"name": name, "ref": f"refs/heads/{name}", "targetCommit": document.value["commit"]}
                branches.append(ref)
        if not branches:
            raise NoLine()
        return {"branches": branches, "tags": [], "converts": []}

    def _is_fresh(self, document: Document) -> bool:
        return _age(document) < self._ttl_s


def _age(document: Document) -> float:
    return time.time() - document.written_at
