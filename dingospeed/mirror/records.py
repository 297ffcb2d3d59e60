"""What is kept of a repo: documents, looked at before they are believed.

Nobody is asked here, and no age is judged: that is for who wants to know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dingospeed.mirror import shapes
from dingospeed.model import RepoRef, is_commit
from dingospeed.store.documents import Document, Documents
from dingospeed.store.layout import Layout

log = logging.getLogger(__name__)

IsRight = Callable[[Any], bool]


class Records:
    """The documents of all repos, by the names that `Layout.api` takes."""

    def __init__(self, *, documents: Documents, layout: Layout) -> None:
        self._documents = documents
        self._layout = layout

    def read(self, repo: RepoRef, *names: str, is_right: IsRight) -> Document | None:
        """None when there is none, or none that *is_right*; its value is not to be changed."""
        return shapes.kept(self._documents, self._layout.api(repo, *names), is_right)

    def all(self, repo: RepoRef, folder: str, *, is_right: IsRight) -> Iterator[Document]:
        for path in sorted(self._layout.api(repo, folder, "x").parent.glob("*.json")):
            document = shapes.kept(self._documents, path, is_right)
            if document is not None:
                yield document

    def write(self, repo: RepoRef, *names: str, value: Any, written_at: float | None = None) -> None:
        """*written_at*, in Unix time, is when *value* was told, if that is not now."""
        self._documents.write(self._layout.api(repo, *names), value, written_at=written_at)

    def delete(self, repo: RepoRef, *names: str) -> None:
        self._documents.delete(self._layout.api(repo, *names))

    def visibility(self, repo: RepoRef) -> Document | None:
        """Who may see the repo, as it was told last."""
        return self.read(repo, "visibility", is_right=shapes.is_visibility)

    def is_known_public(self, repo: RepoRef) -> bool:
        """Whether the repo was public when it was last looked at."""
        known = self.visibility(repo)
        return known is not None and not known.value["private"] and not known.value["gated"]

    def info(self, repo: RepoRef, commit: str) -> Document | None:
        """What was told of the repo at *commit*."""
        return self.read(repo, "infos", commit, is_right=shapes.is_info)

    def word(self, repo: RepoRef, revision: str) -> Document | None:
        """Which commit *revision* was said to be; a commit is its own word, once the Hub knew it."""
        if is_commit(revision):
            known = self.info(repo, revision)
            return Document({"commit": revision}, known.written_at) if known is not None else None
        return self.read(repo, "revisions", revision, is_right=shapes.is_word)

    def move(self, repo: RepoRef) -> Document | None:
        """Where the repo was said to have moved to."""
        return self.read(repo, "moved", is_right=shapes.is_move)

    def branches(self, repo: RepoRef) -> list[dict[str, str]]:
        """The names that were asked for and were there, as the Hub lists branches."""
        found = []
        for document in self.all(repo, "revisions", is_right=shapes.is_word):
            named, commit = document.value.get("revision"), document.value["commit"]
            # Nor is a shortened commit a branch.
            if isinstance(named, str) and not named.startswith("refs/") and not commit.startswith(named):
                found.append({"name": named, "ref": f"refs/heads/{named}", "targetCommit": commit})
        return found

    def listing(self, repo: RepoRef, commit: str) -> Document | None:
        """All entries of the tree of *commit*."""
        return self.read(repo, "trees", commit, is_right=shapes.is_listing)

    def commits_listed(self, repo: RepoRef) -> list[str]:
        """Those whose trees are kept, the last one fetched first."""
        folder = self._layout.api(repo, "trees", "x").parent
        return [path.stem for path in sorted(folder.glob("*.json"), key=_written_at, reverse=True)]

    def keep_info(
        self, repo: RepoRef, revision: str, info: dict[str, Any], *, told_at: float | None = None
    ) -> None:
        """Keep *info*, and which commit *revision* is by it, "" for the default branch of no name.

        The info is of a commit, so it has no age; the word for the revision is as old as *told_at*.
        """
        self.write(repo, "infos", info["sha"], value=info)
        if revision and not is_commit(revision):
            word = {"revision": revision, "commit": info["sha"]}
            self.write(repo, "revisions", revision, value=word, written_at=told_at)

    def keep_visibility(self, repo: RepoRef, told: dict[str, Any]) -> None:
        """Keep who may see the repo; of another repo by that name nothing stays that was kept before."""
        known = self.visibility(repo)
        before = known.value.get("id") if known is not None else None
        if None not in (before, told["id"]) and before != told["id"]:
            log.warning("%s is another repo than before: what was known of that one is forgotten", repo)
            self._forget(repo)
        self.write(repo, "visibility", value=told)

    def keep_listing(self, repo: RepoRef, commit: str, entries: list[dict[str, Any]]) -> None:
        self.write(repo, "trees", commit, value=entries)

    def hide(self, repo: RepoRef) -> None:
        """A repo that we knew is denied to somebody: from now on each caller has to prove their right."""
        known = self.visibility(repo)
        if known is not None:
            self.write(repo, "visibility", value={**known.value, "private": True})

    def keep_move(self, repo: RepoRef, to: str) -> None:
        self.write(repo, "moved", value={"to": to})
        # Back to a name it had before: two moves must not lead in a circle.
        self.delete(RepoRef.parse(repo.type, to), "moved")

    def _forget(self, repo: RepoRef) -> None:
        """Another repo has this name now: its callers have no right to what was kept of the old one."""
        of_repo = self._layout.api(repo, "x").parent
        of_access = self._layout.access(repo, "x").parent
        for folder in (of_access, of_repo, *(path for path in of_repo.glob("*") if path.is_dir())):
            for path in folder.glob("*.json"):
                self._documents.delete(path)


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
