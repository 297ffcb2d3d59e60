"""Our own route about the group: who is in it, how each is doing, what goes between them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from dingospeed.web import replies
from dingospeed.web.asking import services
from dingospeed.web.auth import check_admin

blueprint = Blueprint("nodes", __name__)


@blueprint.get("/-/nodes")
def nodes() -> Response:
    """``{"id": null}`` for a node of its own; for administrators."""
    check_admin()
    group = services().group
    alone: dict[str, Any] = {"id": None, "is_current": True, "trouble": "", "nodes": [], "traffic": []}
    return replies.as_json(alone if group is None else group.told())
