"""What callers change on the Hub through this mirror, where the operator allows it.

A change is sent over one line to the Hub itself, once: nobody can tell whether one that failed was
made. When it was made, what was kept of the repo is looked up again before it is told.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dingospeed.errors import BadRequest, LineFailed, Offline, RateLimited, RepoNotFound
from dingospeed.mirror.cleaned import Cleaner, Forwarded, check_route, told
from dingospeed.model import REPO_TYPES, Caller, RepoRef
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout
from dingospeed.upstream.client import Client
from dingospeed.upstream.lines import Line, Lines

# How long the Hub may work on a commit.
_READ_S = 120.0
_TYPES = {type.removesuffix("s"): type for type in REPO_TYPES}


@dataclass(frozen=True, slots=True)
class Change:
    """What a caller wants: *method* and *path* as sent, with the *headers* that describe the *body*.

    *repo* is the one in the path, if there is one in it.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    repo: RepoRef | None = None

    def repos(self, said: bytes = b"") -> set[RepoRef]:
        """All repos it is about: of the path, else of the body and of what the Hub *said* to it."""
        if self.repo is not None:
            return {self.repo}
        asked = _parsed(self.body)
        # Who creates a repo need not say in whose name.
        answered = {"type": asked.get("type"), "name": _parsed(said).get("name")}
        return {*_repos_named(asked), *_repos_named(answered)}


class Changes:
    """Sends changes over *lines* to the Hub, and marks what is kept of a changed repo as old."""

    def __init__(self, *, lines: Lines, cleaner: Cleaner, documents: Documents, layout: Layout) -> None:
        self._lines = lines
        self._cleaner = cleaner
        self._documents = documents
        self._layout = layout

    def make(self, change: Change, caller: Caller, *, own_url: str) -> Forwarded:
        """The Hub's answer, with *own_url* in place of its own address.

        Raises Forbidden for what would lead past this mirror, UpstreamError when it is not known
        what became of the change.
        """
        check_route(change.path)
        line = self._line(change, caller)
        try:
            answer = line.client.request(
                change.method,
                change.path,
                token=caller.token,
                headers=change.headers,
                body=change.body or None,
                read_s=_READ_S,
            )
        except LineFailed as error:
            self._lines.report(line, error)
            if not isinstance(error, RateLimited):
                self._expire(change.repos())  # It may have been made all the same.
            raise
        self._lines.report(line, None)
        if answer.status < 300:
            self._expire(change.repos(answer.body))
        return self._cleaner.cleaned(change.path, told(answer), own_url=own_url)

    def _line(self, change: Change, caller: Caller) -> Line:
        """The one to send *change* over. Raises Offline, RateLimited or NoLine."""
        if self._lines.is_offline:
            raise Offline()

        def cost(client: Client) -> Collection[str]:
            return client.budgets_of(change.path, token=caller.token)

        for line in self._lines.candidates(token=True, cost=cost):
            if line.is_hub:
                return line
        raise self._lines.no_answer(cost=cost)

    def _expire(self, repos: Iterable[RepoRef]) -> None:
        """Let what is kept of *repos*, but for what is of one commit, be as old as can be.

        It is not deleted: while nobody answers it is still the best there is.
        """
        for repo in repos:
            folder = self._layout.api(repo, "x").parent
            for pattern in ("*.json", "revisions/*.json", "manifests/*.json"):
                for path in folder.glob(pattern):
                    with suppress(FileNotFoundError):
                        os.utime(path, (0, 0))
            self._documents.write(self._layout.api(repo, "changed"), {})


def changed_at(layout: Layout, repo: RepoRef) -> float:
    """When *repo* was last changed through this mirror, in seconds since the epoch; 0.0 for never."""
    try:
        return layout.api(repo, "changed").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _repos_named(asked: dict[str, Any]) -> Iterator[RepoRef]:
    """The repos that a body names, in the words of the routes under ``/api/repos/``."""
    kind = asked.get("type") or "model"
    org = asked.get("organization")
    for key in ("name", "fromRepo", "toRepo"):
        name = asked.get(key)
        if isinstance(kind, str) and kind in _TYPES and isinstance(name, str):
            id = f"{org}/{name}" if isinstance(org, str) and org and "/" not in name else name
            with suppress(RepoNotFound, BadRequest):
                yield RepoRef.parse(_TYPES[kind], id)


def _parsed(body: bytes) -> dict[str, Any]:
    """The JSON object in *body*; empty when it is something else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
