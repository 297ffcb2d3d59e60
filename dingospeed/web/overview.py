"""What the front page shows of the node, gathered from all who know a part of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dingospeed.services import Services
from dingospeed.store.usage import disk_of
from dingospeed.upkeep.board import Sheet, ended_transfers, live_transfers
from dingospeed.upkeep.jobs import Job
from dingospeed.web.chart import chart_of
from dingospeed.web.groupmap import picture_of

_LIVE_SHOWN, _ENDED_SHOWN, _TOP_SHOWN, _OVER_SHOWN = 50, 10, 5, 3
# Each worker has seen another part of what a line does: the worst is told.
_WORSE = ("healthy", "suspect", "probing", "down")


def moving(parts: Services) -> dict[str, Any]:
    """All that changes by itself, for `parts/overview.html`."""
    sheets, traffic = parts.upkeep.watch.board.sheets(), parts.upkeep.watch.board.traffic()
    live = live_transfers(sheets)
    group = parts.group.told() if parts.group is not None else None
    return {
        "troubles": [known for known in parts.upkeep.alerts.known().values() if known.is_open],
        "live": live[:_LIVE_SHOWN],
        "live_count": sum(sheet.live for sheet in sheets),
        "live_rate": sum(transfer["rate"] for transfer in live),
        "ended": ended_transfers(sheets, _ENDED_SHOWN),
        "chart": chart_of(traffic["hours"]),
        "top_repos": traffic["repos"][:_TOP_SHOWN],
        "top_clients": traffic["clients"][:_TOP_SHOWN],
        "jobs": shown_jobs(parts.upkeep.desk.all()),
        "mounts": parts.upkeep.mounts.told(),
        "lines": lines_of_node(parts.upstream.lines.snapshot(), sheets),
        "disk": disk_of(parts.ground.layout.root),
        "forecast": parts.upkeep.disk_history.forecast(),
        "repos_held": parts.mirror.catalogue.count(),
        "group": group,
        "picture": picture_of(group["nodes"], group["traffic"]) if group is not None else None,
    }


def shown_jobs(jobs: Iterable[Job]) -> list[Job]:
    """Those that are not over, and the last ones that are; the latest first, as they come."""
    shown, over = [], 0
    for job in jobs:
        over += job.is_over
        if not job.is_over or over <= _OVER_SHOWN:
            shown.append(job)
    return shown


def lines_of_node(own: Sequence[Mapping[str, Any]], sheets: Iterable[Sheet]) -> list[dict[str, Any]]:
    """Each line as the worker tells of it that sees it worst; *own*: as this worker does, in their order."""
    told = [line for sheet in sheets for line in sheet.facts.get("lines", ())]
    return [_worst(line, [other for other in told if other["name"] == line["name"]]) for line in own]


def _worst(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    views = [own, *others]
    worst = max(views, key=lambda view: _WORSE.index(view["state"]))
    error = worst["last_error"] or next((view["last_error"] for view in views if view["last_error"]), "")
    budgets: dict[str, Any] = {}
    for view in views:
        for bucket, budget in view["budgets"].items():
            if bucket not in budgets or budgets[bucket]["seen_at"] < budget["seen_at"]:
                budgets[bucket] = budget
    renewed = {bucket: _renewed(budget) for bucket, budget in sorted(budgets.items())}
    return {**own, "state": worst["state"], "last_error": error, "budgets": renewed}


def _renewed(budget: Mapping[str, Any]) -> Mapping[str, Any]:
    """*budget* as it must be by now: after its window all of it is there again."""
    is_over = budget["reset_s"] is not None and time.time() > budget["seen_at"] + budget["reset_s"]
    return {**budget, "remaining": budget["quota"]} if is_over else budget
