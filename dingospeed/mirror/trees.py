"""Trees of commits: fetched once, whole and in all pages, then never again.

A request does not wait for the end of a very long listing: after `wait_s` the one file
asked for is looked up alone, while the fetch goes on for those who come later.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from cachetools import LRUCache

from dingospeed.errors import DingospeedError, EntryNotFound, NoLine, UpstreamError
from dingospeed.flight.leases import Leases
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.tree import Entry, Tree, file_of
from dingospeed.mirror.xet import without_xet
from dingospeed.model import Caller, FileMeta, RepoRef
from dingospeed.store.documents import Document, Documents
from dingospeed.store.layout import Layout

log = logging.getLogger(__name__)

_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
_MAX_PAGES = 10_000
_TOGETHER_S = 60
_KEPT_TREES = 64


class _Fetch:
    """One fetch under way in this process."""

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.tree: Tree | None = None
        self.error: DingospeedError | None = None

    def result(self) -> Tree:
        if self.error is not None:
            raise self.error
        if self.tree is None:
            raise NoLine("the listing could not be fetched")
        return self.tree


class Trees:
    """Hands out trees; they are fetched by *questions* and kept in *documents*."""

    def __init__(
        self, *, questions: Questions, documents: Documents, layout: Layout, leases: Leases, wait_s: float
    ) -> None:
        self._questions = questions
        self._documents = documents
        self._layout = layout
        self._leases = leases
        self._wait_s = wait_s
        self._fetches: dict[tuple[RepoRef, str, str | None], _Fetch] = {}
        self._kept: LRUCache[tuple[RepoRef, str], tuple[Document, Tree]] = LRUCache(_KEPT_TREES)
        self._lock = threading.Lock()

    def held(self, repo: RepoRef, commit: str) -> Tree | None:
        """The tree as kept here, None when it was not fetched yet."""
        document = self._documents.read(self._layout.api(repo, "trees", commit))
        if document is None:
            return None
        with self._lock:
            kept = self._kept.get((repo, commit))
        if kept is None or kept[0] is not document:
            kept = (document, Tree(repo, commit, document.value))
            with self._lock:
                self._kept[(repo, commit)] = kept
        return kept[1]

    def get(self, repo: RepoRef, commit: str, caller: Caller) -> Tree:
        """The whole tree, from upstream if need be; masked when *caller* is shown it masked.

        Raises a Refusal or UpstreamError.
        """
        tree = self.held(repo, commit)
        if tree is not None:
            return tree
        fetch = self._fetch(repo, commit, caller)
        fetch.is_done.wait()
        return fetch.result()

    def file(self, repo: RepoRef, commit: str, path: str, caller: Caller) -> FileMeta:
        """One file. Raises EntryNotFound, another Refusal, or UpstreamError."""
        tree = self.held(repo, commit)
        if tree is not None:
            return tree.file(path)
        fetch = self._fetch(repo, commit, caller)
        if fetch.is_done.wait(self._wait_s):
            return fetch.result().file(path)
        return self._look_up(repo, commit, path, caller)

    def _look_up(self, repo: RepoRef, commit: str, path: str, caller: Caller) -> FileMeta:
        suffix = f"/paths-info/{quote(commit, safe='')}"
        form = urlencode({"paths": path, "expand": "False"}).encode()
        entries = self._questions.ask(repo, suffix, caller, revision=commit, form=form).value
        for entry in entries:
            if entry.get("path") == path and entry.get("type") == "file":
                return file_of(repo, commit, entry)
        raise EntryNotFound(path, commit=commit)

    def _fetch(self, repo: RepoRef, commit: str, caller: Caller) -> _Fetch:
        key = (repo, commit, caller.token)
        with self._lock:
            fetch = self._fetches.get(key)
            if fetch is not None:
                return fetch
            fetch = self._fetches[key] = _Fetch()

        def run() -> None:
            try:
                fetch.tree = self._fetch_once(repo, commit, caller)
            except DingospeedError as error:
                fetch.error = error
            finally:
                with self._lock:
                    del self._fetches[key]
                fetch.is_done.set()

        threading.Thread(target=run, name="tree", daemon=True).start()
        return fetch

    def _fetch_once(self, repo: RepoRef, commit: str, caller: Caller) -> Tree:
        lease = self._leases.acquire(f"tree {repo} {commit}", timeout_s=_TOGETHER_S)
        try:
            tree = self.held(repo, commit)
            if tree is not None:
                return tree
            tree = Tree(repo, commit, self._pages(repo, commit, caller))
            # Identities with a mask on are nobody's identities: shown to this caller, not kept.
            if not tree.is_masked:
                self._documents.write(self._layout.api(repo, "trees", commit), tree.entries)
            return tree
        finally:
            if lease is not None:
                lease.release()

    def _pages(self, repo: RepoRef, commit: str, caller: Caller) -> list[Entry]:
        entries: list[Entry] = []
        suffix = f"/tree/{commit}?recursive=true&expand=false"
        for _ in range(_MAX_PAGES):
            answered = self._questions.ask(repo, suffix, caller, revision=commit)
            entries += _entries(without_xet(answered.value))
            following = _NEXT.search(answered.headers.get("Link", ""))
            if following is None:
                return entries
            # Only the query is taken over: the page is asked wherever this question is asked.
            suffix = f"/tree/{commit}?{urlsplit(following[1]).query}"
        raise UpstreamError(f"the listing of {repo} has no end")


def _entries(value: Any) -> list[Entry]:
    if not isinstance(value, list):
        raise NoLine("upstream answered a listing with something else")
    for entry in value:
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise NoLine("upstream answered a listing with something else")
    return value
