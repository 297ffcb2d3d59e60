"""What other nodes of the group are told of repos: what is public to everybody, and nothing else.

An owner asks outside for what it does not know; it asks no other node.
"""

from __future__ import annotations

import time

from dingospeed.errors import NoLine, Refusal
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.rules import RepoRules
from dingospeed.mirror.trees import Trees
from dingospeed.model import Caller, RepoRef
from dingospeed.sources.answers import Told

# A listing has many pages.
_TREE_S = 18.0


class NotTold(Refusal):
    """Not everybody may know that: who asks has to ask the Hub with its caller's own token."""

    status = 403

    def __init__(self) -> None:
        super().__init__("This is not told to peers")


class Telling:
    """Tells what *metadata* and *trees*, which ask nobody but the outside, know or learn."""

    def __init__(self, *, metadata: Metadata, trees: Trees, rules: RepoRules) -> None:
        self._metadata = metadata
        self._trees = trees
        self._rules = rules

    def info(self, repo: RepoRef, revision: str, *, may_be_stale: bool) -> Told:
        """``info`` at *revision*, and ``visibility`` with its own ``age_s``.

        Raises NotTold, another Refusal, Moved, or UpstreamError.
        """
        self._rules.check_served(repo)
        # In this order one call outside tells both.
        found = self._metadata.revision(repo, revision, Caller())
        visibility = self.visibility(repo, may_be_stale=may_be_stale)
        if found.is_stale and not may_be_stale:
            raise NoLine("only an old answer is known")
        info = self._metadata.info(repo, found.commit, Caller())
        at = self._metadata.told_at(repo, revision)
        value = {"info": info, "visibility": visibility.value, "visibility_age_s": visibility.age_s}
        return Told(value, 0.0 if at is None else _age(at))

    def visibility(self, repo: RepoRef, *, may_be_stale: bool) -> Told:
        """As kept. Raises as `info` does."""
        self._rules.check_served(repo)
        if not self._metadata.visibility(repo, Caller()).is_public:
            raise NotTold()
        kept = self._metadata.kept_visibility(repo)
        if kept is None or not (may_be_stale or self._metadata.is_fresh(kept)):
            raise NoLine("only an old answer is known")
        return Told(kept.value, _age(kept.written_at))

    def tree(self, repo: RepoRef, commit: str, *, may_be_stale: bool) -> Told:
        """All entries. Raises as `info` does."""
        self.visibility(repo, may_be_stale=may_be_stale)
        return Told(self._trees.get(repo, commit, Caller(), wait_s=_TREE_S).entries, 0.0)


def _age(at: float) -> float:
    return abs(time.time() - at)
