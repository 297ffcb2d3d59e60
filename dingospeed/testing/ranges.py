"""Files over HTTP: the whole, a part of it, or nothing new (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dingospeed.testing.payload import Payload, Plain
from dingospeed.testing.wire import Reply, Request

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Unsatisfiable(Exception):
    """No byte of the file is in the range."""


def span_of(header: str | None, size: int) -> tuple[int, int] | None:
    """The span asked for; None when all of it is to be sent, as for several ranges or nonsense.

    Raises Unsatisfiable.
    """
    found = _RANGE.fullmatch((header or "").replace(" ", ""))
    if not found or found[1] == found[2] == "":
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        if not length:
            raise Unsatisfiable
        return size - length, size
    start = int(found[1])
    stop = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, stop


def matches(header: str | None, etag: str) -> bool:
    """Whether *etag* is among those of an If-None-Match; weak ones count too."""
    known = [item.strip().removeprefix("W/") for item in (header or "").split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def send_file(request: Request, payload: Payload, headers: Mapping[str, str]) -> Reply:
    """200, 206, 304 or 416, under *headers*, among which is Etag."""
    if matches(request.header("If-None-Match"), headers["Etag"]):
        kept = {name: value for name, value in headers.items() if name != "Content-Type"}
        return Reply(304, kept)
    asked = request.header("Range")
    if request.header("If-Range") not in (None, headers["Etag"]):
        asked = None
    try:
        span = span_of(asked, payload.size)
    except Unsatisfiable:
        refused = {**headers, "Content-Type": "text/plain; charset=utf-8"}
        refused["Content-Range"] = f"bytes */{payload.size}"
        return Reply(416, refused, Plain(b"Range Not Satisfiable"))
    if span is None:
        return Reply(200, dict(headers), payload, is_file=True)
    start, stop = span
    stated = {"Content-Range": f"bytes {start}-{stop - 1}/{payload.size}"}
    return Reply(206, {**headers, **stated}, payload, start, stop, is_file=True)
