"""Alerts, as the settings have them: where troubles are looked for, and who is told."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import partial

from dingospeed.config import Settings
from dingospeed.services.ground import Ground
from dingospeed.services.group import Group
from dingospeed.store.usage import disk_of
from dingospeed.upkeep import troubles
from dingospeed.upkeep.alerts import Alerts, Courier
from dingospeed.upkeep.board import Board
from dingospeed.upkeep.jobs import JobStore
from dingospeed.upkeep.troubles import Trouble, Troubles
from dingospeed.upstream.webhooks import Webhook


def alerts_of(ground: Ground, board: Board, jobs: JobStore, group: Group | None) -> Alerts:
    """Made, and put on the timetable."""
    wanted, layout = ground.settings.alerts, ground.layout

    def of_board(before: Troubles) -> Iterable[Trouble]:
        sheets, now = board.sheets(), time.time()
        yield from troubles.of_lines(sheets, before)
        yield from troubles.of_budgets(sheets, wanted.rate_budget_percent, now)
        yield from troubles.of_workers(sheets, wanted.hub_blocked_s, now)

    alerts = Alerts(
        sources=(
            of_board,
            lambda before: troubles.of_disk(disk_of(layout.root), wanted.disk_percent),
            lambda before: troubles.of_content(layout.run, time.time()),
            lambda before: troubles.of_jobs(jobs.all(), time.time()),
            lambda before: troubles.of_group(group.registry.trouble if group is not None else ""),
            lambda before: troubles.of_nodes(group.told()["nodes"] if group is not None else ()),
        ),
        documents=ground.documents,
        path=layout.alerts("troubles"),
        settle_s=wanted.settle_s,
    )
    ground.timetable.every(wanted.check_s, "look for troubles", alerts.check)
    for webhook in webhooks_of(ground.settings):
        courier = Courier(
            webhook=webhook,
            known=alerts.known,
            documents=ground.documents,
            path=layout.alerts(f"told-{webhook.id}"),
            remind_s=wanted.remind_s,
        )
        # Each in its own thread: a slow one holds up no other.
        ground.timetable.every(wanted.check_s, f"tell {webhook.label}", courier.tell)
    return alerts


def webhooks_of(settings: Settings) -> list[Webhook]:
    bundle = settings.upstream.ca_bundle
    make = partial(Webhook, node=os.uname().nodename, ca_bundle=str(bundle) if bundle else None)
    return [
        make(
            label=f"alerts.webhooks[{index}] ({hook.kind})",
            kind=hook.kind,
            url=hook.url.get_secret_value(),
            secret=hook.secret.get_secret_value() if hook.secret else None,
            proxy=hook.proxy,
        )
        for index, hook in enumerate(settings.alerts.webhooks)
    ]
