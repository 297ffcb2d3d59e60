"""A file answered, whole, in part or as blocks: within its client's limits, by us or by nginx in front."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from flask import Response, g, request

from dingospeed.mirror.files import OpenFile
from dingospeed.mirror.xorbs import Block
from dingospeed.model import Caller, Piece, Span
from dingospeed.web import limits, replies
from dingospeed.web.asking import asked, is_from_trusted_proxy, services, transfers
from dingospeed.web.body import Body, OnEnd

# What our nginx configuration says of itself, and where it has the blobs (conf/nginx.conf).
_ACCEL_HEADER, _ACCEL_NAME, _ACCEL_PLACE = "X-Accel-Support", "nginx", "/-/held/"


def send(opened: OpenFile, who: Caller) -> Response:
    """As replies.file. Raises TooManyAtOnce, too."""
    with _Sending(opened, who) as sending:
        return replies.file(opened, sending)


def send_xorb(opened: OpenFile, block: Block, who: Caller) -> Response:
    """As replies.xorb. Raises TooManyAtOnce, too."""
    with _Sending(opened, who) as sending:
        return replies.xorb(opened, block, sending)


class _Sending:
    """One file on its way to one client. The client's place is kept for as long as there is a body."""

    def __init__(self, opened: OpenFile, who: Caller) -> None:
        g.opened = opened
        self._opened = opened
        self._who = who
        self._held = ExitStack()

    def __enter__(self) -> _Sending:
        place = limits.transfer_place() if request.method == "GET" else None
        if place is not None:
            self._held.callback(place.release)
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def begin(self, body: Body, size: int) -> OnEnd:
        held = self._held.pop_all()
        body.when_ended(lambda sent, error: held.close())
        return transfers().begin(self._opened, body, size, who=self._who, request_id=asked().id)

    def pace(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        rate = services().ground.settings.server.limits.transfer_bytes_per_s
        return pieces if rate is None else limits.paced(pieces, rate)

    def place_for_nginx(self, span: Span) -> str | None:
        """It has to be there and say that it can, and to answer as we would.

        Of an If-Range it would want an ETag of its own making.
        """
        if (
            services().ground.settings.server.accel != _ACCEL_NAME
            or request.headers.get(_ACCEL_HEADER) != _ACCEL_NAME
            or "If-Range" in request.headers
            or not is_from_trusted_proxy()
            or not self._opened.hand_over(span)
        ):
            return None
        transfers().hand_over(self._opened)
        etag = self._opened.meta.blob.etag
        return f"{_ACCEL_PLACE}{etag[:2]}/{etag}"
