"""A file answered, and its transfer watched."""

from __future__ import annotations

from flask import Response, g

from dingospeed.mirror.files import OpenFile
from dingospeed.model import Caller
from dingospeed.web import replies
from dingospeed.web.asking import request_id, transfers
from dingospeed.web.body import Body, OnEnd


def send(opened: OpenFile, who: Caller) -> Response:
    """As replies.file."""
    g.opened = opened

    def begin(body: Body, size: int) -> OnEnd:
        return transfers().begin(opened, body, size, who=who, request_id=request_id())

    return replies.file(opened, begin=begin)
