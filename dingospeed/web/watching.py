"""What the node is doing, as JSON and as a stream of events, for administrators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response

from dingospeed.errors import Refusal
from dingospeed.services.watch import Watch
from dingospeed.upkeep.board import ended_transfers, live_transfers
from dingospeed.web import replies
from dingospeed.web.asking import services
from dingospeed.web.auth import check_admin

blueprint = Blueprint("watching", __name__, url_prefix="/-")

_EVENT_EVERY_S = 1.0
# Then the browser comes again, perhaps to another worker.
_EVENTS = 600


@blueprint.get("/transfers")
def transfers() -> Response:
    """What is under way on the node, and what ended last; the latest first."""
    check_admin()
    return replies.as_json(_transfers(services().upkeep.watch))


@blueprint.get("/traffic")
def traffic() -> Response:
    """The last 24 hours, hour by hour, and who had most of them."""
    check_admin()
    return replies.as_json(services().upkeep.watch.board.traffic())


@blueprint.get("/alerts")
def alerts() -> Response:
    """What is wrong with the node, and since when."""
    check_admin()
    known = services().upkeep.alerts.known().values()
    told = [
        {**asdict(one.trouble), "since": one.since}
        for one in sorted(known, key=lambda one: one.since)
        if one.is_open
    ]
    return replies.as_json({"alerts": told})


@blueprint.get("/events")
def events() -> Response:
    """Each second what /-/transfers tells, as an event named "transfers" (text/event-stream)."""
    check_admin()
    if not services().upkeep.watch.listeners.acquire(blocking=False):
        raise TooManyListeners()
    # no-transform and X-Accel-Buffering: a proxy that gathers would deliver nothing for minutes.
    headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    stream = _Events(services().upkeep.watch)
    return Response(stream, headers=headers, content_type="text/event-stream; charset=utf-8")


class TooManyListeners(Refusal):
    """As many listen already as this worker serves."""

    status = 503

    def __init__(self) -> None:
        super().__init__("Too many listen already; try again later")
        self.retry_after_s = 10


class _Events:
    """The events for one listener. Ends when its client leaves or the worker is to stop."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._left = _EVENTS

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        is_first = self._left == _EVENTS
        stopped = self._watch.pulse.stopped
        if not self._left or (not is_first and stopped.wait(_EVENT_EVERY_S)):
            raise StopIteration
        self._left -= 1
        data = json.dumps(_transfers(self._watch), separators=(",", ":"))
        return f"event: transfers\ndata: {data}\n\n".encode()

    def close(self) -> None:
        """Called by the server, whatever the end was: a generator that never began would not hear of it."""
        self._watch.listeners.release()


def _transfers(watch: Watch) -> dict[str, Any]:
    sheets = watch.board.sheets()
    return {
        "live": sum(sheet.live for sheet in sheets),
        "transfers": live_transfers(sheets),
        "ended": ended_transfers(sheets),
        "workers": [
            {"pid": sheet.pid, "beat_at": sheet.beat_at, "live": sheet.live, **sheet.facts}
            for sheet in sheets
        ],
    }
