"""Trees of commits: fetched once, whole and in all pages, then never again.

A request does not wait for the end of a very long listing: after `wait_s` the one file
asked for is looked up alone, while the fetch goes on for those who come later.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from cachetools import LRUCache

from dingospeed.errors import EntryNotFound, NoLine, UpstreamError
from dingospeed.mirror import shapes
from dingospeed.mirror.hearsay import Hearsay, heard_or_told
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.records import Records
from dingospeed.mirror.together import PATIENCE_S, Together
from dingospeed.mirror.tree import Entry, Tree, file_of
from dingospeed.model import Caller, FileMeta, RepoRef

log = logging.getLogger(__name__)

_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
_MAX_PAGES = 10_000
_TOGETHER_S = 60
# Of all trees in memory; some hundred bytes each.
_KEPT_ENTRIES = 200_000


class Trees:
    """Hands out trees; they are fetched by *questions* and kept in *records*."""

    def __init__(
        self,
        *,
        questions: Questions,
        records: Records,
        together: Together,
        wait_s: float,
        hearsay: Hearsay | None = None,
    ) -> None:
        self._hearsay = hearsay
        self._questions = questions
        self._records = records
        self._together = together
        self._wait_s = wait_s
        # One that is larger than all is kept all the same, alone: to read it for each file is worse.
        self._kept: LRUCache[tuple[RepoRef, str], Tree] = LRUCache(
            _KEPT_ENTRIES, getsizeof=lambda tree: min(len(tree.entries) + 1, _KEPT_ENTRIES)
        )
        self._lock = threading.Lock()

    def held(self, repo: RepoRef, commit: str) -> Tree | None:
        """The tree as kept here, None when it was not fetched yet."""
        with self._lock:
            tree = self._kept.get((repo, commit))
        if tree is not None:
            return tree
        document = self._records.listing(repo, commit)
        if document is None:
            return None
        return self._keep(Tree(repo, commit, document.value))

    def all_held(self, repo: RepoRef) -> Iterator[Tree]:
        """The trees of *repo* that are kept here, the last one fetched first."""
        for commit in self._records.commits_listed(repo):
            tree = self.held(repo, commit)
            if tree is not None:
                yield tree

    def get(self, repo: RepoRef, commit: str, caller: Caller, *, wait_s: float = PATIENCE_S) -> Tree:
        """The whole tree, from upstream if need be; masked when *caller* is shown it masked.

        Raises a Refusal or UpstreamError.
        """
        tree = self.held(repo, commit)
        if tree is not None:
            return tree
        return self._fetch(repo, commit, caller, wait_s)

    def again(self, repo: RepoRef, commit: str, caller: Caller) -> Tree:
        """As `get`, but as it is told now: a commit stays the same, what is told of it may grow."""
        key = ("tree again", repo, commit, self._questions.asker(repo, caller))
        return self._together.ask(
            key, lambda: self._keep_told(repo, commit, self._pages(repo, commit, caller)), caller
        )

    def file(self, repo: RepoRef, commit: str, path: str, caller: Caller) -> FileMeta:
        """One file. Raises EntryNotFound, another Refusal, or UpstreamError."""
        tree = self.held(repo, commit)
        if tree is not None:
            return tree.file(path)
        try:
            return self._fetch(repo, commit, caller, self._wait_s).file(path)
        except UpstreamError:
            # It takes long, or broke off: one entry may still be had where all of them are too many.
            return self._look_up(repo, commit, path, caller)

    def _look_up(self, repo: RepoRef, commit: str, path: str, caller: Caller) -> FileMeta:
        suffix = f"/paths-info/{quote(commit, safe='')}"
        form = urlencode({"paths": path, "expand": "False"}).encode()

        def ask() -> list[Entry]:
            is_public = self._records.is_known_public(repo)
            answered = self._questions.ask(
                repo, suffix, caller, revision=commit, form=form, is_public=is_public, keeps_xet=True
            )
            return _entries(answered.value)

        key = ("paths", repo, commit, path, self._questions.asker(repo, caller))
        for entry in self._together.ask(key, ask, caller, wait_s=self._wait_s):
            if entry["path"] == path and entry.get("type") == "file":
                return file_of(repo, commit, entry)
        raise EntryNotFound(path, commit=commit)

    def _fetch(self, repo: RepoRef, commit: str, caller: Caller, wait_s: float) -> Tree:
        """Fetch the whole tree; who gives up after *wait_s* leaves the fetch going on. Raises StillAsked."""

        def fetch() -> Tree:
            with self._together.alone(f"tree {repo} {commit}", timeout_s=_TOGETHER_S):
                return self.held(repo, commit) or self._keep_told(
                    repo, commit, self._learn(repo, commit, caller)
                )

        key = ("tree", repo, commit, self._questions.asker(repo, caller))
        return self._together.ask(key, fetch, caller, wait_s=wait_s)

    def _keep_told(self, repo: RepoRef, commit: str, entries: list[Entry]) -> Tree:
        tree = Tree(repo, commit, entries)
        # Identities with a mask on are nobody's identities: shown to this caller, not kept.
        if not tree.is_masked:
            self._records.keep_listing(repo, commit, tree.entries)
            self._keep(tree)
        return tree

    def _keep(self, tree: Tree) -> Tree:
        with self._lock:
            self._kept[(tree.repo, tree.commit)] = tree
        return tree

    def _learn(self, repo: RepoRef, commit: str, caller: Caller) -> list[Entry]:
        hearsay = self._hearsay
        return heard_or_told(
            partial(hearsay.tree, repo, commit) if hearsay is not None else None,
            partial(self._pages, repo, commit, caller),
        )

    def _pages(self, repo: RepoRef, commit: str, caller: Caller) -> list[Entry]:
        entries: list[Entry] = []
        is_public = self._records.is_known_public(repo)
        suffix = f"/tree/{commit}?recursive=true&expand=false"
        for _ in range(_MAX_PAGES):
            answered = self._questions.ask(
                repo, suffix, caller, revision=commit, is_public=is_public, keeps_xet=True
            )
            entries += _entries(answered.value)
            following = _NEXT.search(answered.headers.get("Link", ""))
            if following is None:
                return entries
            # Only the query is taken over: the page is asked wherever this question is asked.
            suffix = f"/tree/{commit}?{urlsplit(following[1]).query}"
        raise UpstreamError(f"the listing of {repo} has no end")


def _entries(value: Any) -> list[Entry]:
    if not shapes.is_listing(value):
        raise NoLine("upstream answered a listing with something else")
    entries: list[Entry] = value
    return entries
