"""What the Hub says of public repos, by way of the other nodes: each repo has an owner that asks for all.

Only what is public to the anonymous is told, and nobody's token is sent. Who owns the repo itself, or
gets no answer, asks outside.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dingospeed.cluster import choice
from dingospeed.errors import LineFailed, NotServed
from dingospeed.model import RepoRef
from dingospeed.sources.neighbours import Neighbours

log = logging.getLogger(__name__)

REPOS_PATH = "/-/peers/repos"
_MAX_BYTES = 256 << 20
_READ_BYTES = 1 << 20
# A listing has many pages, and who waits for it is no client.
_TREE_S = 20.0
# So many are asked when the way outside is closed.
_ANYBODY = 5


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of the Hub, and how many seconds ago it gave it."""

    value: Any
    age_s: float


class Answers:
    """Asks *neighbours*. Every question gives None when the answer has to come from outside.

    With *of_anybody* those are asked that do not own the repo, too, and may tell what is old.
    """

    def __init__(self, *, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def info(self, repo: RepoRef, revision: str, *, of_anybody: bool = False) -> Told | None:
        """The info at *revision*."""
        return self._ask(repo, {"what": "info", "revision": revision}, of_anybody=of_anybody)

    def visibility(self, repo: RepoRef, *, of_anybody: bool = False) -> Told | None:
        """Who may see the repo, as it is kept."""
        return self._ask(repo, {"what": "visibility"}, of_anybody=of_anybody)

    def tree(self, repo: RepoRef, commit: str, *, of_anybody: bool = False) -> Told | None:
        """All entries of the tree."""
        return self._ask(repo, {"what": "tree", "revision": commit}, of_anybody=of_anybody, read_s=_TREE_S)

    def _ask(
        self, repo: RepoRef, query: dict[str, str], *, of_anybody: bool, read_s: float | None = None
    ) -> Told | None:
        query |= {"type": repo.type, "repo": repo.id}
        if of_anybody:
            query["stale"] = "true"
        for id in self._anybody(repo) if of_anybody else self._owners(repo):
            try:
                told = self._from(id, query, read_s)
            except LineFailed as error:
                log.info("%s %s: %s", repo, query["what"], error)
                continue
            if told is not None:
                return told
        return None

    def _owners(self, repo: RepoRef) -> Iterator[str]:
        me = self._neighbours.me()
        able = [peer for peer in (me, *self._neighbours.peers()) if peer.may_own]
        for peer in choice.top(str(repo), able, choice.MAX_OWNERS):
            if peer.id == me.id:
                return
            yield peer.id

    def _anybody(self, repo: RepoRef) -> Iterator[str]:
        peers = self._neighbours.peers()
        # Who can ask is likelier to know.
        ranked = choice.top(str(repo), [peer for peer in peers if peer.may_own], _ANYBODY)
        ranked += choice.top(str(repo), [peer for peer in peers if not peer.may_own], _ANYBODY)
        return (peer.id for peer in ranked[:_ANYBODY])

    def _from(self, id: str, query: dict[str, str], read_s: float | None) -> Told | None:
        neighbour = self._neighbours.get(id)
        if neighbour is None:
            return None
        with self._neighbours.open(neighbour, REPOS_PATH, query, read_s=read_s) as stream:
            if stream.status != 200:
                return None
            body = bytearray()
            while data := stream.read(_READ_BYTES):
                body += data
                if len(body) > _MAX_BYTES:
                    raise NotServed(f"node {id}", "tells without end")
        try:
            told = json.loads(body)
            return Told(told["value"], max(0.0, float(told["age_s"])))
        except (ValueError, KeyError, TypeError) as error:
            raise NotServed(f"node {id}", "told something else than JSON") from error
