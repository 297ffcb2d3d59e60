"""Every HTTP answer, on one page. Inclusive ranges exist here, in the text of headers, only."""

from __future__ import annotations

import json
import mimetypes
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, Protocol
from urllib.parse import quote

from flask import Response
from werkzeug.datastructures import Headers

from dingospeed.errors import (
    DingospeedError,
    EntryNotFound,
    Offline,
    RangeNotSatisfiable,
    Refusal,
    StoreError,
    UpstreamError,
)
from dingospeed.mirror.files import OpenFile
from dingospeed.mirror.xorbs import Block, pack
from dingospeed.model import FileMeta, Piece, Span
from dingospeed.web.asking import asked
from dingospeed.web.body import Body, OnEnd

EXPOSED_HEADERS = (
    "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,"
    "Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag"
)
_LIST_PART = 2000
_ONE_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))\s*\Z", re.ASCII)
_AUTHENTICATE = 'Bearer realm="Authentication required", charset="UTF-8"'


def as_json(value: Any, *, commit: str | None = None, status: int = 200) -> Response:
    """Compact: some clients search the text for ``"key":`` without a parser."""
    response = Response(_compact(value), status, content_type="application/json; charset=utf-8")
    if commit:
        response.headers["X-Repo-Commit"] = commit
    return response


def _compact(value: Any) -> bytes:
    """*value* as JSON; long lists, also in an object, in parts, so that others get their turn between."""
    if isinstance(value, dict) and any(map(_is_long, value.values())):
        members = (_compact(name) + b":" + _compact(part) for name, part in value.items())
        return b"{" + b",".join(members) + b"}"
    if not _is_long(value):
        # Half of a surrogate pair is JSON, and no UTF-8.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    parts = []
    for start in range(0, len(value), _LIST_PART):
        parts.append(_compact(value[start : start + _LIST_PART])[1:-1])
        time.sleep(0)
    return b"[" + b",".join(parts) + b"]"


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > _LIST_PART


class Sending(Protocol):
    """How a body leaves."""

    def begin(self, body: Body, size: int) -> OnEnd:
        """Told of a body and its length before it is sent."""
        ...

    def pace(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """What the pieces pass through on their way."""
        ...

    def place_for_nginx(self, span: Span) -> str | None:
        """Where the nginx in front finds the whole file, to send *span* of it."""
        ...


def file(opened: OpenFile, sending: Sending) -> Response:
    """200, 206 or 304 with every header clients read.

    Raises RangeNotSatisfiable, and what reading raises:
    the first bytes are waited for, so that what goes wrong before them still has a status.
    """
    meta, request = opened.meta, asked()
    headers = {**_file_headers(meta), "X-Cache": opened.cache}
    if request.header("If-None-Match") and request.if_none_match.contains_weak(meta.blob.etag):
        return Response(status=304, headers=headers)
    is_part_asked = request.method == "GET" and bool(request.header("Range"))
    if not meta.blob.size and is_part_asked:
        # No part of nothing can be given. Clients that ask for the first byte to learn the size read it here,
        # all others pass over it (RFC 9110, 14.4).
        headers["Content-Range"] = "bytes */0"
    span = _range_asked(meta.blob.size)
    if span is not None and not _may_serve(span, opened):
        span = None
    # What we do with a range that is none of the plain ones, nginx would do in another way.
    if request.method == "GET" and meta.blob.size and (span is not None or not is_part_asked):
        place = sending.place_for_nginx(span or meta.blob.whole)
        if place is not None:
            return Response(status=200, headers={**headers, "X-Accel-Redirect": place})
    return _content(span, meta.blob.size, headers, opened.read, sending)


def file_info(meta: FileMeta, told: dict[str, Any], type: str) -> Response:
    """What is *told* of a file in place of its content: JSON of that *type*, under the file's headers."""
    told = {**told, "size": meta.blob.size, "etag": f'"{meta.blob.etag}"'}
    return Response(_compact(told), headers={**_file_headers(meta), "Content-Type": type})


def xorb(opened: OpenFile, block: Block, sending: Sending) -> Response:
    """A block of the file in the form of Xet, 200 or 206. Raises as `file` does."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", "X-Cache": opened.cache}

    def read(packed: Span) -> Iterator[Piece]:
        # Not only the first header is waited for, which can be had without any content.
        return pack(primed(opened.read(block.content_of(packed))), block, packed)

    size = block.packed_bytes
    return _content(_range_asked(size), size, headers, read, sending)


def _content(
    span: Span | None,
    size: int,
    headers: dict[str, str],
    read: Callable[[Span], Iterator[Piece]],
    sending: Sending,
) -> Response:
    """206 with *span* of *size* bytes, 200 with all of them when it is None; for HEAD without a body."""
    status = 200
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        status = 206
    span = span or Span(0, size)
    headers["Content-Length"] = str(len(span))
    if asked().method == "HEAD":
        return _Content(status=status, headers=headers)
    body = Body(sending.pace(primed(read(span))))
    body.when_ended(sending.begin(body, len(span)))
    return _Content(body, status, headers=headers, direct_passthrough=True)


class _Content(Response):
    """A file, or a part of one: its headers are complete, and are not gone through once more."""

    def get_wsgi_headers(self, environ: dict[str, Any]) -> Headers:
        return self.headers


def _range_asked(size: int) -> Span | None:
    """As `range_of`; no range of HEAD counts."""
    request = asked()
    return range_of(request.header("Range"), size) if request.method == "GET" else None


def range_of(header: str, size: int) -> Span | None:
    """The span that a Range header asks for, cut to the file; None for all of it.

    Several ranges at once, other units and nonsense are answered in full (RFC 9110, 14.2). So is any
    range of an empty file: clients that begin with ``bytes=0-0`` do not know yet that it is one.
    Raises RangeNotSatisfiable when it begins behind the end.
    """
    match = _ONE_RANGE.match(header.strip()) if size and header and len(header) < 100 else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return Span(start, stop)


def _may_serve(span: Span, opened: OpenFile) -> bool:
    """Whether a part may be answered as a part, and not with all of the file.

    An ``If-Range`` of other content asks for all. And who resumes a file of which wrong bytes
    went out is made to start over, because the rest, though right, would complete a wrong file.
    """
    condition = asked().header("If-Range").strip()
    if condition and condition.removeprefix("W/").strip('"') != opened.meta.blob.etag:
        return False
    is_resuming = span.start > 0 and span.stop == opened.meta.blob.size
    return opened.may_resume or not is_resuming


@lru_cache(1024)
def _file_headers(meta: FileMeta) -> Mapping[str, str]:
    # Equal under both names, as clients differ in which they prefer.
    etag = f'"{meta.blob.etag}"'
    name = meta.path.rpartition("/")[2]
    plain = name.encode("ascii", "replace").decode().replace("\\", "?").replace('"', "?")
    plain = "".join(char if char.isprintable() else "?" for char in plain)
    otherwise = "application/octet-stream" if meta.blob.is_lfs else "text/plain"
    # By its ending alone: of a whole name the library would make a URL.
    guessed, packed = mimetypes.guess_type("file" + PurePosixPath(name).suffix)
    guessed = otherwise if guessed is None or packed else guessed
    return {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}; filename=\"{plain}\";",
        # Nothing from a repo may run in the name of this host.
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Type": f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed,
        "ETag": etag,
        "X-Linked-Etag": etag,
        "X-Linked-Size": str(meta.blob.size),
        "X-Repo-Commit": meta.commit,
    }


def primed(pieces: Iterator[Piece]) -> Generator[Piece, None, None]:
    """The same pieces, the first of them fetched now."""
    first = next(pieces, b"")

    def all_of_them() -> Generator[Piece, None, None]:
        try:
            yield first
            yield from pieces
        finally:
            pieces.close()  # type: ignore[attr-defined]

    return all_of_them()


def refused(error: DingospeedError, *, is_api: bool) -> Response:
    """An error in the Hub's shape: JSON on the API, plain text on files, the same words in headers."""
    message = public_message(error)
    if is_api:
        response = as_json({"error": message}, status=error.status)
    else:
        response = Response(message, error.status, content_type="text/plain; charset=utf-8")
    if isinstance(error, Refusal) and error.phrase:
        response.status = f"{error.status} {error.phrase}"
    headers = response.headers
    # What a header may not hold would end the connection instead of the matter.
    headers["X-Error-Message"] = "".join(char if " " <= char <= "~" else "?" for char in message)
    if error.code:
        headers["X-Error-Code"] = error.code
    if error.retry_after_s:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = _AUTHENTICATE
    if isinstance(error, EntryNotFound):
        headers["X-Repo-Commit"] = error.commit
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    return response


def public_message(error: DingospeedError) -> str:
    """What a client may read: never the name of a line, a path of ours or what another said."""
    if isinstance(error, Refusal):
        return " ".join(str(error).split())
    if isinstance(error, Offline):
        return "This mirror is offline and does not hold what was asked for."
    if isinstance(error, UpstreamError):
        return "The mirror can not reach the source of this right now. Try again."
    if isinstance(error, StoreError):
        return "The mirror could not serve this right now. Try again."
    return "Internal error of the mirror."
