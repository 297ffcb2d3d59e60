"""Objects of git-lfs over one upstream line: for content whose place in a tree is not known.

Where an object lies is asked by batch and remembered while it lasts. What else the answer says
of the place, headers with credentials above all, is not used: a signed address needs none.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dingospeed.errors import LineFailed, Refusal
from dingospeed.model import Blob, FileMeta, RepoRef, Span
from dingospeed.sources import hub
from dingospeed.upstream import redirects
from dingospeed.upstream.locations import Location, Locations, lifetime_s
from dingospeed.upstream.refusals import refusal

if TYPE_CHECKING:
    from dingospeed.upstream.lines import Line
    from dingospeed.upstream.stream import Stream

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/vnd.git-lfs+json"
_MAX_ADDRESSES = 10_000
_TOGETHER_S = 10.0
# What a CDN says to an address whose signature has run out, or that is no more.
_STALE = (400, 401, 403, 404, 410)


class ObjectNotFound(Refusal):
    """The repo has no such object of git-lfs."""

    status = 404
    code = "EntryNotFound"

    def __init__(self, oid: str) -> None:
        super().__init__(f"This repo has no object {oid[:64]}")


@dataclass(frozen=True, slots=True)
class LfsObject(FileMeta):
    """An object that lies somewhere in the history of its repo, nobody knows under which name."""

    @classmethod
    def of(cls, repo: RepoRef, blob: Blob) -> LfsObject:
        return cls(repo, "", f"sha256-{blob.etag}", blob)


class LfsObjects:
    """Finds objects and reads them. *clock* gives Unix time."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # By line, repo and oid, without the token: who may have an object was decided before.
        self._places = Locations(limit=_MAX_ADDRESSES, clock=clock)

    def find(
        self, line: Line, repo: RepoRef, blobs: Sequence[Blob], token: str | None
    ) -> dict[str, Location]:
        """Where those *blobs* lie that *repo* has, by oid; kept for `read`.

        Sizes are not checked by every Hub. Raises LineFailed, or Refusal.
        """
        asked = {
            "operation": "download",
            "transfers": ["basic"],
            "hash_algo": "sha256",
            "objects": [{"oid": blob.etag, "size": blob.size} for blob in blobs],
        }
        answer = line.client.request(
            "POST",
            f"{repo.web_path}.git/info/lfs/objects/batch",
            token=token,
            headers={"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE},
            body=json.dumps(asked).encode(),
            own_token=True,
        )
        if answer.status in (401, 403, 404):
            raise refusal(answer.status, answer.headers, repo=repo)
        if answer.status != 200:
            raise LineFailed(line.name, f"answered {answer.status} to git-lfs")
        found = {}
        for oid, href in _addresses(line, answer.body).items():
            url = redirects.target(line.client.base_url + "/", href, line=line.name)
            found[oid] = Location(url, is_own=False)
            now = self._clock()
            self._places.keep(_key(line, repo, oid), found[oid], lifetime_s=lifetime_s(url, now))
        return found

    def read(self, line: Line, meta: FileMeta, span: Span, token: str | None) -> Iterator[bytes]:
        """As hub.read."""
        is_whole = span == meta.blob.whole
        with self._open(line, meta.repo, meta.blob, None if is_whole else span, token) as stream:
            yield from hub.content(line, stream, meta, span)

    def size(self, line: Line, repo: RepoRef, blob: Blob, token: str | None) -> int:
        """How long the object is in truth, as told with its first byte. Raises LineFailed, or Refusal."""
        with self._open(line, repo, blob, Span(0, 1), token) as stream:
            if stream.size is None:
                raise LineFailed(line.name, f"answered {stream.status} without the size of an object")
            return stream.size

    def _open(self, line: Line, repo: RepoRef, blob: Blob, span: Span | None, token: str | None) -> Stream:
        stream, place = self._try(line, repo, blob, span, token)
        if stream.status in _STALE:
            stream.close()
            self._places.forget(_key(line, repo, blob.etag), place)
            stream, _ = self._try(line, repo, blob, span, token)
        return stream

    def _try(
        self, line: Line, repo: RepoRef, blob: Blob, span: Span | None, token: str | None
    ) -> tuple[Stream, Location]:
        key = _key(line, repo, blob.etag)
        with self._places.search(key, wait_s=_TOGETHER_S) as known:
            place = known or self.find(line, repo, [blob], token).get(blob.etag)
        if place is None:
            raise ObjectNotFound(blob.etag)
        try:
            return line.client.open_file(place.url, token=token, span=span, own_token=True), place
        except LineFailed:
            self._places.forget(key, place)
            raise


def _key(line: Line, repo: RepoRef, oid: str) -> str:
    return f"{line.name} {repo} {oid}"


def _addresses(line: Line, body: bytes) -> dict[str, str]:
    """The addresses by oid that a batch answer gives; objects it gives none for are left out.

    Raises LineFailed when it is no such answer (git-lfs: docs/api/batch.md).
    """
    try:
        answer: Any = json.loads(body)
        transfer, objects = answer.get("transfer", "basic"), answer["objects"]
        if transfer != "basic":
            raise LineFailed(line.name, "answered git-lfs with another way of transfer")
        found = {}
        for one in objects:
            href = (one.get("actions") or {}).get("download", {}).get("href")
            if isinstance(href, str) and isinstance(one["oid"], str):
                found[one["oid"]] = href
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LineFailed(line.name, "answered git-lfs with something else") from error
