"""A file answered, whole, in part or as blocks, and its transfer watched."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, g

from dingospeed.mirror.files import OpenFile
from dingospeed.mirror.xorbs import Block
from dingospeed.model import Caller
from dingospeed.web import replies
from dingospeed.web.asking import request_id, transfers
from dingospeed.web.body import Body, OnEnd


def send(opened: OpenFile, who: Caller) -> Response:
    """As replies.file."""
    return replies.file(opened, begin=_watched(opened, who))


def send_xorb(opened: OpenFile, block: Block, who: Caller) -> Response:
    """As replies.xorb."""
    return replies.xorb(opened, block, begin=_watched(opened, who))


def _watched(opened: OpenFile, who: Caller) -> Callable[[Body, int], OnEnd]:
    g.opened = opened

    def begin(body: Body, size: int) -> OnEnd:
        return transfers().begin(opened, body, size, who=who, request_id=request_id())

    return begin
