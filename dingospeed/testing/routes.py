"""Where a request goes, told from its path alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from dingospeed.testing.repos import PREFIXES

# Words that follow the id of a repo in the API; the id has one segment or two.
REPO_ROUTES = frozenset(
    {"revision", "tree", "paths-info", "refs", "commits", "auth-check", "xet-read-token", "discussions"}
)

_FOLDERS = "|".join(prefix.rstrip("/") for prefix in PREFIXES.values() if prefix)
_FILE = re.compile(rf"/(?:({_FOLDERS})/)?([^/]+(?:/[^/]+)?)/(resolve|raw)/(.+)")
_CACHED_FILE = re.compile(
    rf"/api/resolve-cache/({'|'.join(PREFIXES)})/([^/]+(?:/[^/]+)?)/([0-9a-f]{{40}})/(.+)"
)
_GIT = re.compile(
    rf"/(?:({_FOLDERS})/)?([^/]+(?:/[^/]+)?)/(info/refs|git-upload-pack|git-receive-pack|info/lfs/.+)"
)
_NAMED_REF = re.compile(r"(refs(?:/|%2F)(?:pr|convert|heads|tags)(?:/|%2F)[^/]+)/(.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileRoute:
    """A file; *raw_rest* is what follows the id, as it was asked for."""

    kind: str
    type: str
    id: str
    revision: str
    path: str
    raw_rest: str


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """A question about a repo: *name*, and *rest*, the segments behind it, decoded.

    *raw_rest* is all that follows the id, as it was asked for.
    """

    type: str
    id: str
    name: str
    rest: tuple[str, ...]
    raw_rest: str


@dataclass(frozen=True, slots=True)
class GitRoute:
    """What git or git-lfs asks: *name* is all that follows the repo's address."""

    type: str
    id: str
    name: str


def kind_of(raw_path: str) -> str:
    """ "api", "resolve", "raw", "resolve-cache", "registry", "git" or "other"."""
    if raw_path.startswith("/api/resolve-cache/"):
        return "resolve-cache"
    if raw_path.startswith("/api/"):
        return "api"
    file = file_route(raw_path)
    if file:
        return file.kind
    if raw_path == "/v2" or raw_path.startswith("/v2/"):
        return "registry"
    return "git" if git_route(raw_path) else "other"


def file_route(raw_path: str) -> FileRoute | None:
    """The file a path names, also where a ref with slashes was not encoded."""
    cached = _CACHED_FILE.fullmatch(raw_path)
    if cached:
        type, id, sha, path = cached.groups()
        return FileRoute("resolve-cache", type, unquote(id), sha, unquote(path), "")
    found = _FILE.fullmatch(raw_path)
    if not found:
        return None
    folder, id, kind, rest = found.groups()
    split = _NAMED_REF.fullmatch(rest)
    revision, path = split.groups() if split else (rest.partition("/")[0], rest.partition("/")[2])
    return FileRoute(
        kind, folder or "models", unquote(id), unquote(revision), unquote(path), f"/{kind}/{rest}"
    )


def git_route(raw_path: str) -> GitRoute | None:
    """The repo, with or without ".git", and what is asked of it."""
    found = _GIT.fullmatch(raw_path)
    if not found:
        return None
    folder, id, name = found.groups()
    return GitRoute(folder or "models", unquote(id).removesuffix(".git"), name)


def api_route(raw_path: str, knows: Callable[[str, str], bool]) -> ApiRoute | None:
    """The repo and the question; whether an id has one segment is asked of *knows* when in doubt."""
    segments = raw_path.strip("/").split("/")[1:]
    if len(segments) < 2 or segments[0] not in PREFIXES:
        return None
    type, names = segments[0], segments[1:]
    words = 2
    two = unquote("/".join(names[:2]))
    if len(names) == 1 or (
        not knows(type, two) and (knows(type, unquote(names[0])) or names[1] in REPO_ROUTES)
    ):
        words = 1
    behind = names[words:]
    rest = tuple(unquote(segment) for segment in behind[1:])
    raw_rest = "".join("/" + segment for segment in behind)
    return ApiRoute(type, unquote("/".join(names[:words])), behind[0] if behind else "", rest, raw_rest)


def revision_and_path(rest: tuple[str, ...]) -> tuple[str, str]:
    """Of decoded segments; a ref like ``refs/pr/1`` may have come in one segment or in three."""
    words = 3 if len(rest) >= 3 and rest[0] == "refs" else 1
    return "/".join(rest[:words]), "/".join(rest[words:])
