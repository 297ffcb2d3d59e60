"""The operator's lists of repos, applied before any view: what is asked about a repo passes here.

A path is looked at as it was sent, which is how it is routed here, and decoded, which is how the
Hub will read what is forwarded to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from flask import request

from dingospeed.errors import BadRequest, RepoNotFound
from dingospeed.model import REPO_TYPES, RepoRef
from dingospeed.web import paths
from dingospeed.web.asking import services

_OF_API = re.compile(rf"/api/(?:resolve-cache/)?([^/]+)/({paths.ID})(?=/|\Z)")


def check() -> None:
    """Raises NotServedHere for a repo that this mirror does not serve, whatever is asked about it."""
    rules = services().knowledge.rules
    if rules.serve_all:
        return
    for repo in _repos_asked():
        rules.check_served(repo, *_perhaps_meant(repo))


def _repos_asked() -> Iterator[RepoRef]:
    """The repo that the request is about, if it is about one, by either reading of the path."""
    arguments, path = request.view_args or {}, request.environ["PATH_INFO"]
    with suppress(RepoNotFound, BadRequest):
        if "repo" in arguments:
            yield paths.repo_of_page(arguments["repo"])
        elif "id" in arguments and "kind" not in arguments:
            yield paths.repo_of_api("models", arguments["id"])
    for reading in {path, paths.decoded(path)}:
        found = _OF_API.match(reading)
        # Some servers take MODELS for models.
        kind = paths.decoded(found[1]).lower() if found is not None else ""
        if found is not None and kind in REPO_TYPES:
            with suppress(RepoNotFound, BadRequest):
                yield paths.repo_of_api(kind, found[2])


def _perhaps_meant(asked: RepoRef) -> Iterator[RepoRef]:
    """Of ``x.git`` git means ``x``; and of ``gpt2/word`` only the Hub knows that it is no repo."""
    with suppress(RepoNotFound):
        yield RepoRef(asked.type, asked.org, asked.name.removesuffix(".git"))
        if asked.org:
            yield RepoRef(asked.type, "", asked.org)
