"""How this node is doing, in one answer for administrators."""

from __future__ import annotations

import os
from typing import Any

from flask import Blueprint, Response

from dingospeed import __version__
from dingospeed.services import Services
from dingospeed.store.usage import disk_of
from dingospeed.web import replies
from dingospeed.web.asking import services
from dingospeed.web.auth import check_admin

blueprint = Blueprint("status", __name__)


@blueprint.get("/-/status")
def status() -> Response:
    """JSON: ``node``, ``lines`` as the worker asked sees them, ``disk`` in bytes."""
    check_admin()
    parts = services()
    return replies.as_json({"node": _node(parts), "lines": parts.lines.snapshot(), "disk": _disk(parts)})


def _node(parts: Services) -> dict[str, Any]:
    return {
        "version": __version__,
        "name": os.uname().nodename,
        "workers": parts.settings.server.workers,
        "is_offline": parts.lines.is_offline,
        "cache": str(parts.layout.root),
    }


def _disk(parts: Services) -> dict[str, Any]:
    disk, report = disk_of(parts.layout.root), parts.caretaker.last_report()
    return {
        "size_bytes": disk.size_bytes,
        "free_bytes": disk.free_bytes,
        "used_bytes": disk.used_bytes,
        # Of the cache, when it was last measured; null until then.
        "cache_bytes": report.usage.disk_bytes if report is not None else None,
        "blobs": report.usage.blobs if report is not None else None,
        "measured_at": report.at if report is not None else None,
    }
