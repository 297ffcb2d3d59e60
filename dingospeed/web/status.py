"""How this node is doing, in one answer for administrators."""

from __future__ import annotations

import os
from typing import Any

from flask import Blueprint, Response

from dingospeed import __version__
from dingospeed.services import Services
from dingospeed.store.usage import disk_of
from dingospeed.upkeep.board import live_transfers
from dingospeed.web import replies
from dingospeed.web.asking import services
from dingospeed.web.auth import check_admin

blueprint = Blueprint("status", __name__)


@blueprint.get("/-/status")
def status() -> Response:
    """JSON: ``node``, ``lines`` as the worker asked sees them, ``disk``, ``traffic``, ``transfers``."""
    check_admin()
    parts = services()
    told = {
        "node": _node(parts),
        "lines": parts.upstream.lines.snapshot(),
        "disk": _disk(parts),
        "traffic": _traffic(parts),
        "transfers": live_transfers(parts.upkeep.watch.board.sheets()),
    }
    return replies.as_json(told)


def _node(parts: Services) -> dict[str, Any]:
    return {
        "version": __version__,
        "name": os.uname().nodename,
        "workers": parts.ground.settings.server.workers,
        "is_offline": parts.upstream.lines.is_offline,
        "cache": str(parts.ground.layout.root),
    }


def _traffic(parts: Services) -> dict[str, Any]:
    """Of the last 24 hours. The rate of hits is of requests for files, null when there were none."""
    hours = parts.upkeep.watch.board.traffic()["hours"]
    total = {
        name: sum(hour[name] for hour in hours) for name in ("requests", "hits", "bytes", "fetched_bytes")
    }
    return {**total, "hit_rate": total["hits"] / total["requests"] if total["requests"] else None}


def _disk(parts: Services) -> dict[str, Any]:
    disk, report = disk_of(parts.ground.layout.root), parts.upkeep.caretaker.last_report()
    return {
        "size_bytes": disk.size_bytes,
        "free_bytes": disk.free_bytes,
        "used_bytes": disk.used_bytes,
        # Of the cache, when it was last measured; null until then.
        "cache_bytes": report.usage.disk_bytes if report is not None else None,
        "blobs": report.usage.blobs if report is not None else None,
        "measured_at": report.at if report is not None else None,
    }
