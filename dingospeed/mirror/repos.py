"""The Hub's API about one repo, answered from what is held: info, listings, refs, permission."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dingospeed.errors import GatedRepo, NoLine, RepoNotFound
from dingospeed.mirror import cursors
from dingospeed.mirror.access import Access
from dingospeed.mirror.metadata import DEFAULT_REVISION, Metadata
from dingospeed.mirror.tree import Entry, Tree, masked
from dingospeed.mirror.trees import Trees
from dingospeed.mirror.xet import Offers
from dingospeed.model import Caller, RepoRef


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of entries; *cursor* asks for the next, None at the end."""

    commit: str
    entries: list[Entry]
    cursor: str | None


class Repos:
    """Answers about repos, for callers."""

    def __init__(self, *, metadata: Metadata, trees: Trees, access: Access, offers: Offers) -> None:
        self._metadata = metadata
        self._trees = trees
        self._access = access
        self._offers = offers

    def info(self, repo: RepoRef, revision: str | None, caller: Caller, *, has_blobs: bool) -> dict[str, Any]:
        """The repo's info at *revision*, None for the default branch; with identities of files if wished."""
        found = self._access.to_commit(repo, revision or DEFAULT_REVISION, caller)
        self._access.to_listing(repo, caller)
        info = self._metadata.info(repo, found.commit, caller)
        if has_blobs:
            may_see = self._may_see_identities(repo, caller)
            tree = self._tree(repo, found.commit, caller, may_see_identities=may_see)
            return {**info, "siblings": tree.siblings() if may_see else info.get("siblings", [])}
        return info

    def listing(
        self,
        repo: RepoRef,
        revision: str,
        path: str,
        caller: Caller,
        *,
        is_recursive: bool,
        limit: int | None,
        cursor: str | None,
    ) -> Listing:
        """A page of a folder. Without *limit* all of it: some clients never ask for a second page."""
        found = self._access.to_commit(repo, revision, caller)
        self._access.to_listing(repo, caller)
        may_see = self._may_see_identities(repo, caller)
        tree = self._tree(repo, found.commit, caller, may_see_identities=may_see)
        entries = tree.listing(path, is_recursive=is_recursive)
        start = cursors.start_of(cursor, entries) if cursor else 0
        stop = len(entries) if limit is None else start + limit
        following = cursors.cursor_after(entries[stop - 1]) if stop < len(entries) else None
        page = entries[start:stop]
        return Listing(found.commit, self._shown(page, may_see_identities=may_see), following)

    def paths(
        self, repo: RepoRef, revision: str, paths: Iterable[str], caller: Caller
    ) -> tuple[str, list[Entry]]:
        """The commit, and the entries of those *paths* that exist."""
        found = self._access.to_commit(repo, revision, caller)
        self._access.to_listing(repo, caller)
        may_see = self._may_see_identities(repo, caller)
        entries = self._tree(repo, found.commit, caller, may_see_identities=may_see).named(paths)
        return found.commit, self._shown(entries, may_see_identities=may_see)

    def refs(self, repo: RepoRef, caller: Caller, *, has_pull_requests: bool) -> dict[str, Any]:
        self._access.to_listing(repo, caller)
        return self._metadata.refs(repo, caller, has_pull_requests=has_pull_requests)

    def check_access(self, repo: RepoRef, caller: Caller) -> None:
        """Whether *caller* may have the files. Raises a Refusal when not."""
        self._access.to_files(repo, caller)

    def _tree(self, repo: RepoRef, commit: str, caller: Caller, *, may_see_identities: bool) -> Tree:
        tree = self._trees.get(repo, commit, caller)
        if may_see_identities and tree.is_masked:
            # Clients keep what they are shown of a commit for ever.
            raise NoLine("nobody who answers may see the identities of these files")
        return tree

    def _shown(self, entries: list[Entry], *, may_see_identities: bool) -> list[Entry]:
        return self._offers.shown(entries) if may_see_identities else masked(entries)

    def _may_see_identities(self, repo: RepoRef, caller: Caller) -> bool:
        """As on the Hub: a gated repo is listed to everyone, but what its LFS files hold is starred out."""
        try:
            self._access.to_files(repo, caller)
        except (GatedRepo, RepoNotFound):
            return False
        return True
