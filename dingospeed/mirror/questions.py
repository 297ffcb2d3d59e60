"""Questions about a repo put to the upstream: JSON in, our errors out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dingospeed.errors import BadRequest, Moved, NoLine, RepoNotFound
from dingospeed.model import Caller, RepoRef
from dingospeed.upstream.lines import Lines
from dingospeed.upstream.refusals import refusal


@dataclass(frozen=True, slots=True)
class Answered:
    """The JSON *value* of a 200, and its headers."""

    value: Any
    headers: Mapping[str, str]


class Questions:
    """Asks the *lines* on behalf of a caller."""

    def __init__(self, *, lines: Lines) -> None:
        self._lines = lines

    def ask(
        self,
        repo: RepoRef,
        suffix: str,
        caller: Caller,
        *,
        revision: str = "",
        form: bytes | None = None,
    ) -> Answered:
        """The answer to ``/api/<type>/<id><suffix>``; POSTed when there is a *form*.

        Raises Moved, a Refusal in the Hub's words, or UpstreamError.
        """
        path = repo.api_path + suffix
        line, answer = self._lines.ask(
            "GET" if form is None else "POST",
            path,
            token=caller.token,
            headers={} if form is None else {"Content-Type": "application/x-www-form-urlencoded"},
            body=form,
            own_token=True,
            expect="json",
        )
        if 300 <= answer.status < 400:
            raise Moved(repo.id, to=_moved_to(repo, path, answer.headers.get("Location", "")))
        if answer.status != 200:
            raise refusal(answer.status, answer.headers, repo=repo, revision=revision)
        try:
            return Answered(json.loads(answer.body), answer.headers)
        except ValueError as error:
            raise NoLine(f"line {line.name} answered something else than JSON") from error

    def is_let_in(self, repo: RepoRef, caller: Caller) -> None:
        """Ask the Hub whether *caller*, by their own token alone, may have the files of *repo*.

        Raises a Refusal when not, UpstreamError when nobody can tell.
        """
        line, answer = self._lines.ask("GET", f"{repo.api_path}/auth-check", token=caller.token)
        if not line.is_hub:
            raise NoLine("only the Hub itself can tell who may have what")
        if 300 <= answer.status < 400:
            location = answer.headers.get("Location", "")
            raise Moved(repo.id, to=_moved_to(repo, f"{repo.api_path}/auth-check", location))
        if answer.status != 200:
            raise refusal(answer.status, answer.headers, repo=repo)


def _moved_to(repo: RepoRef, path: str, location: str) -> str:
    """The id that a redirect of *path* names. Raises NoLine when it names none."""
    prefix = f"/api/{repo.type}/"
    suffix = path.removeprefix(repo.api_path).split("?")[0]
    target = urlsplit(location).path
    if target.startswith(prefix) and target.endswith(suffix):
        id = target[len(prefix) : len(target) - len(suffix)]
        try:
            moved = RepoRef.parse(repo.type, id)
        except (RepoNotFound, BadRequest) as error:
            raise NoLine(f"upstream moved {repo} to a place that can not be") from error
        if moved != repo:
            return moved.id
    raise NoLine(f"upstream redirects questions about {repo} elsewhere")
