"""A cleaning in a process of its own, started by the one who minds the cache.

Beside a worker's event loop it would take the interpreter from its transfers for seconds. A task comes
as JSON on stdin, what was found and done goes as JSON to stdout.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pydantic import BaseModel

import dingospeed
from dingospeed import log as logs
from dingospeed.config.cleaning import Cleaning
from dingospeed.config.settings import Log, Settings
from dingospeed.errors import DingospeedError, StoreError
from dingospeed.flight.leases import Leases
from dingospeed.store.layout import Layout
from dingospeed.store.usage import Usage, disk_of, measure, walk
from dingospeed.upkeep.cleaning import Cleaned, Goal, Marks, NoGoal, Rules
from dingospeed.upkeep.lastcopies import Membership, last_copies_of
from dingospeed.upkeep.tidying import LEASE, Scope, act, kept_blobs, make_plan

_COMMAND = "from dingospeed.upkeep.apart import main; main()"
# Transfers come first; but on a busy machine, too, it has to get on while the disk fills.
_NICENESS = 5
_PATIENCE_S = 6 * 3600
# prctl(2): the signal that comes when the parent ends.
_PR_SET_PDEATHSIG = 1
_UNTIL_NGINX_HAS_IT_S = 120.0


class Task(BaseModel):
    """Which cache, by which settings, of a node of which *group*, if of any.

    *is_down*: to the low mark, whether or not the high one is reached.
    """

    repos: Path
    cleaning: Cleaning
    log: Log
    spare_s: float = 0.0
    is_down: bool = False
    group: Membership | None = None


class Report(BaseModel):
    """What lies there, *at* a time in seconds since the epoch; what was *cleaned*, None if nothing had to."""

    at: float
    usage: Usage
    cleaned: Cleaned | None = None


def run_apart(task: Task) -> Report:
    """Do *task* in another process, and wait. Raises StoreError when it fails."""
    package = Path(dingospeed.__file__).parent.parent
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter, and words of ours
            [sys.executable, "-c", _COMMAND, str(os.getpid())],
            input=task.model_dump_json().encode(),
            stdout=subprocess.PIPE,
            check=False,
            timeout=_PATIENCE_S,
            # Not where the mirror was started: nothing found there is to be imported.
            cwd=package,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"cleaning failed: {error}") from error
    if done.returncode:
        raise StoreError(f"cleaning failed with code {done.returncode}")
    return Report.model_validate_json(done.stdout)


def main() -> None:
    """The other process."""
    _end_with(int(sys.argv[1]))
    os.nice(_NICENESS)
    task = Task.model_validate_json(sys.stdin.buffer.read())
    logs.setup(task.log.level, task.log.format)
    try:
        report = tidy(task)
    except DingospeedError as error:
        sys.exit(f"dingospeed cleaning: {error}")
    sys.stdout.write(report.model_dump_json())


def tidy(task: Task) -> Report:
    """Look how much there is, and clean if it is too much or too old; a group is told what is kept here.

    Raises StoreError.
    """
    layout = Layout(task.repos)
    rules = rules_of(task.cleaning, spare_s=task.spare_s, is_down=task.is_down)
    group = last_copies_of(task.group, layout)
    if group is not None:
        group.ask(kept_blobs(layout, task.cleaning.keep))
    usage, now = measure(walk(layout)), time.time()
    if not _is_due(layout, rules, usage, now):
        return Report(at=now, usage=usage)
    lease = Leases(path_of=layout.lease).try_acquire(LEASE)
    if lease is None:  # Somebody cleans already.
        return Report(at=now, usage=usage)
    with lease:
        plan = make_plan(layout, rules, Scope(keep=task.cleaning.keep), group)
        cleaned = act(layout, plan, group)
    return Report(at=time.time(), usage=measure(walk(layout)), cleaned=cleaned)


def spare_s(settings: Settings) -> float:
    """How long what was used is left alone.

    nginx opens what we tell it to a moment later; until then nothing says so but the last use, which is
    kept once a minute.
    """
    return _UNTIL_NGINX_HAS_IT_S if settings.server.accel else 0.0


def rules_of(settings: Cleaning, *, spare_s: float = 0.0, is_down: bool = False) -> Rules:
    """What the *settings* say."""
    high, low = settings.high_water, settings.low
    goal: Goal = NoGoal()
    if high is not None and low is not None:
        goal = Marks(low if is_down else high, low)
    return Rules(
        strategy=settings.strategy,
        goal=goal,
        older_than_s=settings.older_than_s,
        leftovers_s=settings.leftovers_s,
        spare_s=spare_s,
    )


def _end_with(parent: int) -> None:
    """A mirror that was killed leaves nobody at work on its cache."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It ended before that.
        sys.exit("dingospeed cleaning: the mirror is gone")


def _is_due(layout: Layout, rules: Rules, usage: Usage, now: float) -> bool:
    """Whether anything has to go; without marks and ages nothing ever has."""
    if rules.goal == NoGoal() and rules.older_than_s is None:
        return False
    if rules.goal.surplus(usage.disk_bytes, disk_of(layout.root)):
        return True
    return _is_older(usage.oldest_use, rules.older_than_s, now) or _is_older(
        usage.oldest_other_use, rules.leftovers_s, now
    )


def _is_older(used_at: float | None, age_s: float | None, now: float) -> bool:
    return used_at is not None and age_s is not None and now - used_at >= age_s
