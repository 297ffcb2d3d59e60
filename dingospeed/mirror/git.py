"""git's own protocol, passed through: what a clone or a fetch asks, asked of the Hub.

Nothing of it is kept. Lines are tried one after the other until the first byte of an answer
is there; from then on the client's connection lives and dies with that line's.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Literal

from dingospeed.errors import LineFailed, Refusal
from dingospeed.metrics import Metrics
from dingospeed.mirror.access import Access
from dingospeed.model import Caller, RepoRef
from dingospeed.upstream.lines import Line, Lines
from dingospeed.upstream.refusals import refusal
from dingospeed.upstream.stream import Stream

log = logging.getLogger(__name__)

_PIECE_BYTES = 64 * 1024
# gitprotocol-v2: key=value pairs, separated by colons.
_PROTOCOL = re.compile(r"[A-Za-z0-9=:._-]{1,100}\Z")
# A pack is made before it is sent, and git, unlike other clients, waits.
_PACKING_S = 60.0
_TYPE = "application/x-git-upload-pack-"

Encoding = Literal["gzip", "identity"]


@dataclass(frozen=True, slots=True)
class GitRequest:
    """What is sent on: a path below the repo's, and a body, packed or not. No *body* means GET."""

    path: str
    answer_type: str
    protocol: str = ""
    body: bytes | None = None
    encoding: Encoding = "identity"

    def headers(self) -> dict[str, str]:
        headers = {"Accept": self.answer_type}
        if _PROTOCOL.match(self.protocol):
            headers["Git-Protocol"] = self.protocol
        if self.body is not None:
            headers["Content-Type"] = f"{_TYPE}request"
        if self.encoding != "identity":
            headers["Content-Encoding"] = self.encoding
        return headers


def advertisement(protocol: str) -> GitRequest:
    """The first question of a clone or fetch: which refs there are (gitprotocol-http)."""
    return GitRequest("/info/refs?service=git-upload-pack", f"{_TYPE}advertisement", protocol)


def upload_pack(protocol: str, body: bytes, encoding: Encoding) -> GitRequest:
    """The others: what is wanted, and what is there already."""
    return GitRequest("/git-upload-pack", f"{_TYPE}result", protocol, body, encoding)


class GitAnswer:
    """An answer as it arrives: an iterator of its bytes, to be closed. *length* None when not told."""

    def __init__(self, lines: Lines, line: Line, stream: Stream, asked: GitRequest, metrics: Metrics) -> None:
        self.content_type = asked.answer_type
        self.length = stream.span.stop if stream.span else None
        self._lines = lines
        self._line = line
        self._stream = stream
        self._metrics = metrics
        # So that what goes wrong before it can be asked elsewhere.
        self._first = stream.read(_PIECE_BYTES)

    def __iter__(self) -> GitAnswer:
        return self

    def __next__(self) -> bytes:
        """The bytes that came next. Raises LineFailed when they break off."""
        piece, self._first = self._first, b""
        if not piece:
            try:
                piece = self._stream.read(_PIECE_BYTES)
            except LineFailed as error:
                self._lines.report(self._line, error)
                raise
        if not piece:
            raise StopIteration
        self._metrics.count_fetched(self._line.name, len(piece))
        return piece

    def close(self) -> None:
        self._stream.close()


class Git:
    """Asks *lines* on behalf of callers that *access* lets in."""

    def __init__(self, *, access: Access, lines: Lines, metrics: Metrics) -> None:
        self._access = access
        self._lines = lines
        self._metrics = metrics

    def ask(self, repo: RepoRef, asked: GitRequest, caller: Caller) -> GitAnswer:
        """The answer, of which the first bytes are here.

        Raises Moved, a Refusal, or UpstreamError.
        """
        visibility = self._access.to_files(repo, caller)

        def one(line: Line) -> GitAnswer | None:
            stream = line.client.open(
                repo.web_path + asked.path,
                token=caller.token,
                headers=asked.headers(),
                # Public when last looked at is not public now, and all of it would be handed out.
                own_token=not visibility.is_public,
                body=asked.body,
                scheme="basic",
                read_s=_PACKING_S if asked.body is not None else None,
            )
            try:
                _check(line, stream, repo, asked)
                return GitAnswer(self._lines, line, stream, asked, self._metrics)
            except Refusal:
                stream.close()
                # Where the token had to be withheld, "no" is no answer.
                if caller.token is not None and not line.is_hub:
                    return None
                raise
            except LineFailed as error:
                stream.close()
                log.warning("git %s: %s", repo, error)
                raise

        return self._lines.first(
            one, has_token=caller.token is not None, is_restricted=not visibility.is_public
        )


def _check(line: Line, stream: Stream, repo: RepoRef, asked: GitRequest) -> None:
    """Raises Refusal for a "no" of the Hub, LineFailed when this is no answer of git's."""
    if 400 <= stream.status < 500:
        raise refusal(stream.status, stream.headers, repo=repo)
    told = stream.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if stream.status != 200 or told != asked.answer_type:
        raise LineFailed(line.name, f"answered {stream.status} with {told[:80] or 'nothing'} to git")
