"""The values every floor speaks in: repos, spans, blobs, callers.

Nothing here touches a disk or a socket. Values are checked when they are made,
so whoever holds one need not check it again.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from dingospeed.errors import BadRequest, RepoNotFound

RepoType = Literal["models", "datasets", "spaces", "kernels"]
REPO_TYPES: tuple[RepoType, ...] = ("models", "datasets", "spaces", "kernels")

# The Hub's own rule for names, a little wider: what it refuses can not exist there.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_ETAG = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_MAX_COMPONENT_BYTES = 255
_MAX_PATH_BYTES = 4096
_MAX_REVISION_BYTES = 200


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open ``[start, stop)`` in bytes."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a span: [{self.start}, {self.stop})")

    def __len__(self) -> int:
        return self.stop - self.start

    def overlap(self, other: Span) -> Span | None:
        """What both cover, None when nothing."""
        start, stop = max(self.start, other.start), min(self.stop, other.stop)
        return Span(start, stop) if start < stop else None

    def cells(self, size: int) -> Iterator[int]:
        """The indices of the grid cells of *size* bytes that this span touches."""
        if len(self):
            yield from range(self.start // size, (self.stop - 1) // size + 1)


@dataclass(frozen=True, slots=True)
class RepoRef:
    """A repo of the Hub. ``org`` is empty for legacy models such as ``gpt2``.

    Raises RepoNotFound for a name the Hub could not have, so a RepoRef is always
    safe as a path of directories.
    """

    type: RepoType
    org: str
    name: str

    def __post_init__(self) -> None:
        for part in (self.org, self.name) if self.org else (self.name,):
            if not _NAME.match(part) or ".." in part:
                raise RepoNotFound(self.id)

    @classmethod
    def parse(cls, type: RepoType, id: str) -> RepoRef:
        """From ``org/name`` or ``name``."""
        org, slash, name = id.rpartition("/")
        if slash and not org:
            raise RepoNotFound(id)
        return cls(type, org, name)

    @property
    def id(self) -> str:
        return f"{self.org}/{self.name}" if self.org else self.name

    @property
    def api_path(self) -> str:
        """``/api/models/org/name``, as the Hub routes it."""
        return f"/api/{self.type}/{self.id}"

    @property
    def web_path(self) -> str:
        """``/org/name`` or ``/datasets/org/name``, as the Hub routes it."""
        return f"/{self.id}" if self.type == "models" else f"/{self.type}/{self.id}"

    def resolve_path(self, revision: str, path: str) -> str:
        """The URL path of a file, percent-encoded."""
        return f"{self.web_path}/resolve/{quote(revision, safe='')}/{quote(path, safe='/')}"

    def __str__(self) -> str:
        return f"{self.type}/{self.id}"


def is_commit(revision: str) -> bool:
    """Whether *revision* is a full, 40-hex commit sha."""
    return _COMMIT.match(revision) is not None


def is_etag(text: str) -> bool:
    """Whether *text* can name content: a git sha1 or a sha256, in lower-case hex.

    The Hub masks identities it will not tell with asterisks; those are never etags.
    """
    return _ETAG.match(text) is not None


def checked_revision(revision: str) -> str:
    """*revision*, if it can be one. Raises BadRequest."""
    parts = revision.split("/")
    if (
        not revision
        or len(revision.encode()) > _MAX_REVISION_BYTES
        or any(part in ("", ".", "..") for part in parts)
        or any(ord(char) < 0x20 or ord(char) == 0x7F for char in revision)
    ):
        raise BadRequest(f"Not a revision: {revision[:80]!r}")
    return revision


def checked_path(path: str) -> str:
    """*path*, if it can be that of a file or folder in a repo. Raises BadRequest."""
    parts = path.split("/")
    if (
        len(path.encode()) > _MAX_PATH_BYTES
        or "\0" in path
        or any(part in ("", ".", "..") for part in parts)
        or any(len(part.encode()) > _MAX_COMPONENT_BYTES for part in parts)
    ):
        raise BadRequest(f"Not a path in a repo: {path[:80]!r}")
    return path


@dataclass(frozen=True, slots=True)
class Blob:
    """Content, named by its etag: sha256 for LFS files, git sha1 for the others."""

    etag: str
    size: int

    def __post_init__(self) -> None:
        if not is_etag(self.etag):
            raise ValueError(f"not an etag: {self.etag[:80]!r}")
        if self.size < 0:
            raise ValueError(f"not a size: {self.size}")

    @property
    def is_lfs(self) -> bool:
        return len(self.etag) == 64

    @property
    def whole(self) -> Span:
        return Span(0, self.size)


@dataclass(frozen=True, slots=True)
class FileMeta:
    """A file of a repo at a commit, and the content it has there. *xet_hash*: if the Hub told one."""

    repo: RepoRef
    commit: str
    path: str
    blob: Blob
    xet_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. The token is the caller's own Hub token, None when anonymous.

    *waits_until*, by the monotonic clock: when they will have given up, however many questions
    of ours it takes to answer theirs.
    """

    token: str | None = field(default=None, repr=False)
    address: str = ""
    waits_until: float = field(default=math.inf, repr=False, compare=False)

    @property
    def is_anonymous(self) -> bool:
        return self.token is None

    def waits_s(self, most_s: float) -> float:
        """How long they can still be made to wait, *most_s* at most."""
        return max(0.0, min(most_s, self.waits_until - time.monotonic()))


@dataclass(frozen=True, slots=True)
class FileSpan:
    """Bytes ``[start, stop)`` of an open file: what a server sends by sendfile(2).

    The descriptor belongs to whoever yielded the span, and stays open until the
    iterator it came from goes on or is closed.
    """

    fd: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


# What a body is made of: positions where the file holds the bytes, else the bytes.
Piece = FileSpan | bytes
