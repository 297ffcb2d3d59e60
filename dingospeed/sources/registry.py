"""Layers of a model over one upstream line: for what only the Hub's registry has, such as templates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dingospeed.errors import Refusal
from dingospeed.model import Blob, FileMeta, RepoRef, Span
from dingospeed.sources import hub

if TYPE_CHECKING:
    from dingospeed.upstream.lines import Line


class BlobUnknown(Refusal):
    """No manifest of the repo has a layer with this digest, as far as is known."""

    status = 404
    code = "EntryNotFound"

    def __init__(self, digest: str) -> None:
        super().__init__(f"This repo has no blob {digest[:80]}")


@dataclass(frozen=True, slots=True)
class Layer(FileMeta):
    """A layer that is no file in a tree we know."""

    @classmethod
    def of(cls, repo: RepoRef, commit: str, blob: Blob) -> Layer:
        return cls(repo, commit, f"sha256-{blob.etag}", blob)


def read(line: Line, meta: FileMeta, span: Span, token: str | None) -> Iterator[bytes]:
    """As hub.read. Raises BlobUnknown when the registry has it no more."""
    digest = f"sha256:{meta.blob.etag}"
    part = None if span == meta.blob.whole else span
    path = f"/v2/{meta.repo.id}/blobs/{digest}"
    with line.client.open_file(path, token=token, span=part, own_token=True) as stream:
        # A manifest of before may list what is gone by now; at a CDN it is only a link that no longer works.
        if stream.status == 404 and stream.url.startswith(line.client.base_url):
            raise BlobUnknown(digest)
        yield from hub.content(line, stream, meta, span)
