"""A file's bytes over one upstream line, refused before the first byte when the answer lies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dingospeed.errors import LineFailed, NotServed
from dingospeed.model import FileMeta, Span
from dingospeed.upstream.refusals import refusal

if TYPE_CHECKING:
    from dingospeed.upstream.lines import Line
    from dingospeed.upstream.stream import Stream

# Small pieces, written while they are still in the processor's cache.
PIECE_BYTES = 256 << 10
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\Z")


def read(line: Line, meta: FileMeta, span: Span, token: str | None) -> Iterator[bytes]:
    """Exactly the bytes of *span*, in pieces as they arrive.

    Raises LineFailed when the line does not deliver them, Refusal when it will not; what was
    yielded before stays true.
    """
    is_whole = span == meta.blob.whole
    path = meta.repo.resolve_path(meta.commit, meta.path)
    with line.client.open_file(path, token=token, span=None if is_whole else span, own_token=True) as stream:
        yield from content(line, stream, meta, span)


def content(line: Line, stream: Stream, meta: FileMeta, span: Span) -> Iterator[bytes]:
    """The bytes of *span* out of *stream*, which is to hold exactly them. Raises as `read` does."""
    _check(line, stream, meta, span, span == meta.blob.whole)
    left = len(span)
    while left:
        piece = stream.read(min(PIECE_BYTES, left))
        if not piece:
            raise LineFailed(line.name, f"ended {left} bytes early")
        if len(piece) > left:
            raise LineFailed(line.name, "sent more than was asked")
        left -= len(piece)
        yield piece


def _check(line: Line, stream: Stream, meta: FileMeta, span: Span, is_whole: bool) -> None:
    """That this is the answer to what was asked. Raises LineFailed, saying what is wrong."""

    def wrong(what: str) -> LineFailed:
        return LineFailed(line.name, f"answered {stream.status} {what}")

    headers = stream.headers
    # Only the line itself can refuse, and only permission: that the file is there we know from the
    # tree. Behind the line, at a CDN, it is a link that no longer works.
    is_own = stream.url.startswith(line.client.base_url + "/")
    if stream.status in (401, 403) and is_own:
        raise refusal(stream.status, headers, repo=meta.repo, revision=meta.commit, path=meta.path)
    if 400 <= stream.status < 500 and is_own:
        raise NotServed(line.name, f"answered {stream.status} for a file that is in the listing")
    if stream.status == 206 and not is_whole:
        match = _CONTENT_RANGE.match(headers.get("Content-Range", "").strip())
        expected = (str(span.start), str(span.stop - 1))
        if match is None or match.group(1, 2) != expected or match[3] not in (str(meta.blob.size), "*"):
            raise wrong(f"with the range {headers.get('Content-Range')!r} for {span.start}-{span.stop - 1}")
    elif stream.status != 200 or not is_whole:
        raise wrong("to a request for a range" if not is_whole else "to a request for a file")
    if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise wrong(f"encoded as {headers['Content-Encoding']}")
    length = headers.get("Content-Length")
    if length is not None and length.strip() != str(len(span)):
        raise wrong(f"with {length} bytes instead of {len(span)}")
    is_page = headers.get("Content-Type", "").startswith("text/html")
    if is_page and not meta.path.endswith((".html", ".htm")):
        raise wrong("with a web page")
