"""Warm-up, as the settings have it: who takes jobs, who runs them, and when they are repeated."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from dingospeed.config import Settings
from dingospeed.config.warmup import Planned
from dingospeed.flight.demand import Demand
from dingospeed.model import Caller, RepoRef
from dingospeed.services.ground import Ground
from dingospeed.services.knowledge import Knowledge
from dingospeed.services.reading import Reading
from dingospeed.upkeep.fetching import Kitchen
from dingospeed.upkeep.jobs import JobStore, Wish
from dingospeed.upkeep.pace import Pace, RateLimit, budget_wait_s, minute_now, rate_at
from dingospeed.upkeep.planning import Planner
from dingospeed.upkeep.timetable import Timetable
from dingospeed.upkeep.tokens import Tokens
from dingospeed.upkeep.warmup import Runner, Warmups
from dingospeed.upstream.lines import Lines

_LOOK_EVERY_S = 1.0
# Where the jobs of the settings come from, in the eyes of access.node_token.
_THIS_MACHINE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class WarmUp:
    """*warmups* takes jobs, *runner* runs them, *tokens* keeps the secrets of both."""

    warmups: Warmups
    runner: Runner
    tokens: Tokens


def warm_up_of(
    ground: Ground, lines: Lines, knowledge: Knowledge, reading: Reading, jobs: JobStore
) -> WarmUp:
    """Made, and put on the timetable."""
    settings, blobs, leases, tokens = ground.settings, ground.blobs, ground.leases, Tokens()
    planner = Planner(
        access=knowledge.access,
        trees=knowledge.facts.trees,
        metadata=knowledge.facts.metadata,
        rules=knowledge.rules,
    )
    kitchen = Kitchen(
        files=reading.ahead,
        blobs=blobs,
        pace=_pace_of(settings, lines, reading.readers.demand),
        segment_bytes=settings.download.segment_bytes,
        patience_s=settings.warmup.patience_s,
    )
    warm_up = WarmUp(
        warmups=Warmups(jobs=jobs, planner=planner, blobs=blobs, tokens=tokens, claims=leases),
        runner=Runner(jobs=jobs, planner=planner, kitchen=kitchen, tokens=tokens, claims=leases),
        tokens=tokens,
    )
    _schedule(settings, warm_up, ground.timetable)
    return warm_up


def _schedule(settings: Settings, warm_up: WarmUp, timetable: Timetable) -> None:
    """Have jobs run, and those of the settings begun in their time."""
    timetable.every(_LOOK_EVERY_S, "warm-up", warm_up.runner.begin_all)
    for planned in settings.warmup.jobs:
        begin = partial(_begin, warm_up.warmups, planned)
        name = f"warm-up of {planned.type}/{planned.repo}"
        if planned.every is not None:
            timetable.every(planned.every, name, begin)
        elif planned.at is not None:
            timetable.daily(planned.at, name, begin)


def _begin(warmups: Warmups, planned: Planned) -> None:
    wish = Wish(RepoRef.parse(planned.type, planned.repo), planned.revision, planned.include, planned.exclude)
    token = planned.token.get_secret_value() if planned.token is not None else None
    warmups.begin(wish, Caller(token, _THIS_MACHINE), origin="schedule")


def _pace_of(settings: Settings, lines: Lines, demand: Demand) -> Pace:
    warmup = settings.warmup
    limits = [RateLimit(_minute(limit.start), _minute(limit.stop), limit.rate) for limit in warmup.limits]
    return Pace(
        demand=demand,
        parallel=warmup.parallel,
        rate=lambda: rate_at(minute_now(), limits, warmup.rate),
        wait_s=lambda: budget_wait_s(lines.snapshot(), warmup.keep_budget, time.time()),
    )


def _minute(time_of_day: str) -> int:
    hours, minutes = time_of_day.split(":")
    return int(hours) * 60 + int(minutes)
