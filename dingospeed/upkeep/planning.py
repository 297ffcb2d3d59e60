"""What a warm-up comes to: the files of one commit that are wanted, for a caller who may have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dingospeed.errors import Forbidden, Moved, NoLine
from dingospeed.mirror.access import Access
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.rules import RepoRules
from dingospeed.mirror.tree import file_of
from dingospeed.mirror.trees import Trees
from dingospeed.model import Caller, FileMeta, RepoRef
from dingospeed.upkeep.jobs import Wish

_MAX_MOVES = 5


class NothingToDo(Forbidden):
    """No file of the revision is wanted."""

    status = 404


@dataclass(frozen=True, slots=True)
class Plan:
    """The *files* of *commit*, smallest first: what a model is loaded by is there before its weights."""

    repo: RepoRef
    commit: str
    files: tuple[FileMeta, ...]
    is_restricted: bool

    def told(self, held: Mapping[str, int]) -> dict[str, Any]:
        """The plan as it is told; *held* are the bytes of each content, by its etag."""
        sizes = {meta.blob.etag: meta.blob.size for meta in self.files}
        return {
            "repo": self.repo.id,
            "type": self.repo.type,
            "commit": self.commit,
            "bytes": sum(sizes.values()),
            "bytes_held": sum(held[etag] for etag in sizes),
            "files": [
                {"path": meta.path, "size": meta.blob.size, "held": held[meta.blob.etag]}
                for meta in self.files
            ],
        }


class Planner:
    """Asks what clients ask, so that all of it is held for them, too."""

    def __init__(self, *, access: Access, trees: Trees, metadata: Metadata, rules: RepoRules) -> None:
        self._access = access
        self._trees = trees
        self._metadata = metadata
        self._rules = rules

    def check(self, repo: RepoRef) -> None:
        """Raises Forbidden for a repo that is not served here, or not kept."""
        self._rules.check_served(repo)
        if not self._rules.is_kept(repo):
            raise Forbidden("This mirror does not keep files of this repo (access.cache, access.no_cache)")

    def plan(self, wish: Wish, caller: Caller) -> Plan:
        """Follows a repo to its name of today. Raises a Refusal or UpstreamError."""
        repo = wish.repo
        for _ in range(_MAX_MOVES):
            self.check(repo)
            try:
                return self._plan(repo, wish, caller)
            except Moved as move:
                repo = RepoRef.parse(repo.type, move.to)
        raise NoLine(f"{wish.repo} moves without end")

    def _plan(self, repo: RepoRef, wish: Wish, caller: Caller) -> Plan:
        found = self._access.to_commit(repo, wish.revision, caller)
        visibility = self._access.to_files(repo, caller)
        self._metadata.info(repo, found.commit, caller)
        tree = self._trees.get(repo, found.commit, caller)
        if tree.is_masked:
            raise NoLine("nobody who answers may see the identities of these files")
        files = [file_of(repo, found.commit, entry) for entry in tree.files() if wish.wants(entry["path"])]
        if not files:
            raise NothingToDo(f"No file of {repo} at {wish.revision} is wanted")
        files.sort(key=lambda file: (file.blob.size, file.path))
        return Plan(repo, found.commit, tuple(files), is_restricted=not visibility.is_public)
