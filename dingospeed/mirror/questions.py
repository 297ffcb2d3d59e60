"""Questions about a repo put to the upstream: JSON in, our errors out.

They are asked with the caller's token or, when there is none and the node's own stands in, with that.
On the node's own account, but on nobody's behalf, goes only what is known to be public: what the
node alone may see of a repo never gets here.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from dingospeed.errors import BadRequest, GatedRepo, Moved, NoLine, Refusal, RepoNotFound
from dingospeed.mirror.rules import NodeToken
from dingospeed.mirror.xet import without_xet
from dingospeed.model import Caller, RepoRef
from dingospeed.upstream.client import Answer
from dingospeed.upstream.lines import RATE_LIMIT_PATIENCE_S, Line, Lines
from dingospeed.upstream.refusals import refusal

# What the Hub says to a revision or path of a form that it never has.
_NONSENSE = (400, 414, 422)


@dataclass(frozen=True, slots=True)
class Answered:
    """The JSON *value* of a 200, as a rule without Xet, and its headers."""

    value: Any
    headers: Mapping[str, str]


class Questions:
    """Asks the *lines* on behalf of a caller, for some of whom the *node_token* stands in."""

    def __init__(self, *, lines: Lines, node_token: NodeToken | None = None) -> None:
        self._lines = lines
        self._node_token = node_token or NodeToken()

    def asker(self, repo: RepoRef, caller: Caller) -> Hashable:
        """Who the Hub takes *caller* for: what one is told of *repo* is not for another."""
        return caller.token, self._node_token.stands_in(repo, caller)

    def ask(
        self,
        repo: RepoRef,
        suffix: str,
        caller: Caller,
        *,
        revision: str = "",
        form: bytes | None = None,
        is_public: bool = False,
        is_urgent: bool = True,
        keeps_xet: bool = False,
    ) -> Answered:
        """The answer to ``/api/<type>/<id><suffix>``; POSTed when there is a *form*.

        *is_public*: what is asked was public when last looked at, or tells itself whether it is.
        *is_urgent*: there is no older answer that would do, so that a short rate limit is waited for.
        *keeps_xet*: what the Hub tells of Xet stays in the value, which then is for nobody outside.
        Raises Moved, a Refusal in the Hub's words to this caller, or UpstreamError.
        """
        path = repo.api_path + suffix
        line, answer = self._lines.ask(
            "GET" if form is None else "POST",
            path,
            token=caller.token,
            headers={} if form is None else {"Content-Type": "application/x-www-form-urlencoded"},
            body=form,
            own_token=is_public,
            needs_own_token=self._node_token.stands_in(repo, caller),
            expect="json",
            patience_s=RATE_LIMIT_PATIENCE_S if is_urgent else 0,
        )
        if 300 <= answer.status < 400:
            raise Moved(repo.id, to=_moved_to(repo, path, answer.headers.get("Location", "")))
        if answer.status in _NONSENSE:
            raise BadRequest("The Hub does not take this for a question.")
        if answer.status != 200:
            raise _no(line, answer, repo, caller, revision)
        try:
            value = json.loads(answer.body)
            return Answered(value if keeps_xet else without_xet(value), answer.headers)
        except (ValueError, RecursionError) as error:
            raise NoLine(f"line {line.name} answered something else than JSON") from error

    def is_let_in(self, repo: RepoRef, caller: Caller, *, is_urgent: bool = True) -> None:
        """Ask the Hub whether *caller*, by their own token or the one that stands in, may have the files.

        *is_urgent* as in `ask`.
        Raises a Refusal when not, UpstreamError when nobody can tell.
        """
        # A login portal in between answers everything with 200 and a page.
        line, answer = self._lines.ask(
            "GET",
            f"{repo.api_path}/auth-check",
            token=caller.token,
            needs_own_token=self._node_token.stands_in(repo, caller),
            expect="json",
            patience_s=RATE_LIMIT_PATIENCE_S if is_urgent else 0,
        )
        if not line.is_hub:
            raise NoLine("only the Hub itself can tell who may have what")
        if 300 <= answer.status < 400:
            location = answer.headers.get("Location", "")
            raise Moved(repo.id, to=_moved_to(repo, f"{repo.api_path}/auth-check", location))
        if answer.status != 200:
            raise _no(line, answer, repo, caller)


def _no(line: Line, answer: Answer, repo: RepoRef, caller: Caller, revision: str = "") -> Refusal | NoLine:
    """What an answer means that is neither a yes nor a redirect."""
    if not 400 <= answer.status < 500:
        return NoLine(f"line {line.name} answered {answer.status}")
    meant = refusal(answer.status, answer.headers, repo=repo, revision=revision)
    if caller.is_anonymous and line.client.has_own_token:
        # It may have been said to us; to a caller without a token it is said in another way.
        if isinstance(meant, RepoNotFound):
            return RepoNotFound(repo.id, anonymous=True)
        if isinstance(meant, GatedRepo):
            return GatedRepo(repo.id, anonymous=True)
    return meant


def _moved_to(repo: RepoRef, path: str, location: str) -> str:
    """The id that a redirect of *path* names. Raises NoLine when it names none."""
    prefix = f"/api/{repo.type}/"
    suffix = unquote(path.removeprefix(repo.api_path).split("?")[0])
    try:
        target = unquote(urlsplit(location).path)
    except ValueError as error:
        raise NoLine(f"upstream redirects questions about {repo} to what is no URL") from error
    if target.startswith(prefix) and target.endswith(suffix):
        id = target[len(prefix) : len(target) - len(suffix)]
        try:
            moved = RepoRef.parse(repo.type, id)
        except (RepoNotFound, BadRequest) as error:
            raise NoLine(f"upstream moved {repo} to a place that can not be") from error
        if moved != repo:
            return moved.id
    raise NoLine(f"upstream redirects questions about {repo} elsewhere")
