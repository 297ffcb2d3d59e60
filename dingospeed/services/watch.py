"""What the node knows of its own doing: the board of its workers, their pulse, its traffic."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

from dingospeed.metrics import shared_folder
from dingospeed.services.ground import Ground
from dingospeed.store.keys import own_key
from dingospeed.upkeep.board import Board
from dingospeed.upkeep.jobs import JobStore
from dingospeed.upkeep.levels import Levels
from dingospeed.upkeep.pseudonyms import Pseudonyms
from dingospeed.upkeep.pulse import Pulse
from dingospeed.upkeep.traffic import Traffic
from dingospeed.upkeep.vitals import Vitals
from dingospeed.upstream.lines import Lines

_FORGET_EVERY_S = 600
# Each is a connection kept and some JSON a second.
_MOST_LISTENERS = 16


@dataclass(frozen=True, slots=True)
class Watch:
    """*board* tells of all workers, *pulse* of this one; *pseudonyms* stand for tokens.

    *levels* are metrics that are looked up when they are asked for.
    *listeners* are the places for those who listen to this worker's events.
    """

    board: Board
    pulse: Pulse
    pseudonyms: Pseudonyms
    levels: Levels
    listeners: threading.BoundedSemaphore


def watch_of(ground: Ground, lines: Lines, jobs: JobStore) -> Watch:
    layout, documents, metrics = ground.layout, ground.documents, ground.metrics
    traffic = Traffic(folder=layout.traffic, documents=documents, fetched=lambda: metrics.fetched_bytes)

    def facts() -> dict[str, Any]:
        # The one circle: the board tells of the pulse, made below, which keeps the board up to date.
        return {"lag": asdict(pulse.lag), "lines": [_lasting(line) for line in lines.snapshot()]}

    board = Board(folder=shared_folder() or layout.run, documents=documents, traffic=traffic, facts=facts)
    vitals = Vitals(metrics)

    def beat() -> None:
        board.beat()
        vitals.show(pulse.lag)

    pulse = Pulse(on_beat=beat, at_end=board.close, observe=metrics.hub_lag.observe)
    ground.timetable.every(_FORGET_EVERY_S, "forget old traffic", traffic.forget_old)
    return Watch(
        board=board,
        pulse=pulse,
        pseudonyms=Pseudonyms(salt=own_key(layout.key("salt"))),
        levels=Levels(metrics=metrics, root=layout.root, jobs=jobs.all),
        listeners=threading.BoundedSemaphore(_MOST_LISTENERS),
    )


def _lasting(line: dict[str, object]) -> dict[str, object]:
    """What is told of a line, without what changes by itself from one look to the next."""
    return {name: value for name, value in line.items() if name not in ("next_probe_s", "aside_s")}
