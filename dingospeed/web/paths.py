"""URL paths as clients mean them.

A revision may hold an encoded slash (``refs%2Fpr%2F1``) that is no separator, so paths are
routed as they were sent and each part is decoded on its own. Old clients send ``//`` in
front when their HF_ENDPOINT ends in a slash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from flask import Flask
from werkzeug.routing import BaseConverter

from dingospeed.errors import BadRequest, RepoNotFound
from dingospeed.model import REPO_TYPES, RepoRef, RepoType, checked_path, checked_revision

# What comes after a repo's id and so can not be the second half of one: words, and a commit.
_AFTER_ID = (
    "resolve|raw|revision|tree|paths-info|refs|auth-check|xet-read-token|commits|commit|discussions|preupload"
    "|compare|blob|branch|tag|lfs-files|super-squash|treesize|safetensors-metadata|parquet|settings|info"
)
ID = rf"[^/]+(?:/(?!(?:{_AFTER_ID}|[0-9a-f]{{40}})(?:/|$))[^/]+)?"
_SUBJECT = re.compile(rf"/api/([^/]+)/({ID})(?:/([^/]*).*)?\Z")


@dataclass(frozen=True, slots=True)
class Subject:
    """What an API path is about: the *repo*, if any, and the *route* behind its id; unless not *is_clear*."""

    repo: RepoRef | None = None
    route: str = ""
    is_clear: bool = True


class RawPaths:
    """WSGI: the path the app routes by is the one that was sent, still encoded."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        # gunicorn and werkzeug both tell what was sent; others only what they made of it.
        sent = environ.get("RAW_URI") or environ.get("REQUEST_URI")
        if sent:
            path = sent if sent.startswith("/") else _path_of_url(sent)
            environ["PATH_INFO"] = "/" + path.split("?", 1)[0].lstrip("/")
        return self._app(environ, start_response)


def _path_of_url(sent: str) -> str:
    try:
        return urlsplit(sent).path
    except ValueError:
        return ""


_TYPE_PATHS = tuple(f"/api/{type}/" for type in REPO_TYPES)


class RepoConverter(BaseConverter):
    """``org/name``, ``gpt2``, ``datasets/org/name``, as in the URL of a page."""

    part_isolating = False
    regex = rf"(?:(?:datasets|spaces|kernels)/)?{ID}"


class IdConverter(BaseConverter):
    """``org/name`` or ``gpt2``, as in the URL of the API."""

    part_isolating = False
    regex = ID


class RevisionConverter(BaseConverter):
    """One part of a path, or one of the refs whose slashes some clients do not encode."""

    part_isolating = False
    regex = r"refs/(?:pr|convert)/[^/]+|(?!refs/(?:pr|convert)/)[^/]+"


def install(app: Flask) -> None:
    """Route *app* by paths as sent."""
    app.url_map.converters.update(repo=RepoConverter, id=IdConverter, revision=RevisionConverter)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.wsgi_app = RawPaths(app.wsgi_app)  # type: ignore[method-assign]


def repo_of_page(text: str) -> RepoRef:
    """The repo of a page's URL. Raises RepoNotFound, BadRequest."""
    kind, slash, rest = text.partition("/")
    if slash and kind in REPO_TYPES and kind != "models":
        return RepoRef.parse(repo_type(kind), decoded(rest))
    return RepoRef.parse("models", decoded(text))


def repo_of_api(kind: str, id: str) -> RepoRef:
    """The repo of an API URL. Raises RepoNotFound, BadRequest."""
    return RepoRef.parse(repo_type(kind), decoded(id))


def renamed(arguments: Mapping[str, str], path: str, to: str) -> str:
    """*path*, routed to *arguments*, with *to* for the id of its repo. Raises RepoNotFound without one."""
    asked, kind = arguments.get("repo"), arguments.get("kind", "")
    if asked is None and "id" in arguments:
        # The type before it tells the id from the same word elsewhere in the path.
        asked = f"{kind}/{arguments['id']}" if kind else arguments["id"]
    elif asked is not None:
        kind = asked.partition("/")[0]
        kind = kind if kind in REPO_TYPES and kind != "models" and "/" in asked else ""
    before, found, behind = path.partition(asked or "")
    if not asked or not found:
        raise RepoNotFound(to)
    return before + (f"{kind}/{to}" if kind else to) + behind


def subject_of(path: str) -> Subject:
    """What *path*, as sent, is about. Raises RepoNotFound, BadRequest for an id that can be none."""
    found = _SUBJECT.match(path.rstrip("/"))
    # Who writes letters as codes is not understood in the same way by all.
    if found is None or found[1] not in REPO_TYPES:
        return Subject(is_clear="%" not in path and not path.lower().startswith(_TYPE_PATHS))
    kind, id, route = found.groups(default="")
    if not route and "/" not in decoded(id):
        return Subject(is_clear=False)  # A repo without an org, or a word of the API.
    return Subject(repo_of_api(kind, id), decoded(route))


def repo_type(text: str) -> RepoType:
    """Raises RepoNotFound for a type there is not."""
    for known in REPO_TYPES:
        if known == text:
            return known
    raise RepoNotFound(text)


def revision_of(text: str) -> str:
    return checked_revision(decoded(text))


def path_of(text: str) -> str:
    """The path of a file or folder. Raises BadRequest."""
    return checked_path(decoded(text))


def decoded(text: str) -> str:
    """Percent-encoding undone; raw UTF-8 is taken as well. Raises BadRequest."""
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError as error:
        raise BadRequest("The path is not valid UTF-8") from error
