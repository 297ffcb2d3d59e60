"""What is wrong with the node, by what is known of it. Looking only: nothing is decided or told here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dingospeed.store.usage import Disk
from dingospeed.upkeep.board import Sheet
from dingospeed.upkeep.jobs import Job, State

_DOWN = ("down", "probing")
# How old what a sheet tells can be: a beat, on a busy machine.
_SHEET_S = 2.0
# As long as the store remembers that content came wrong.
_MISMATCH_S = 3600
# A job that failed is news for a day, unless it is taken up again before.
_JOB_S = 86400
# A budget without a window is told of for so long.
_WINDOW_S = 300.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong: *alert* is its kind, *subject* what it is about.

    *over* is how its end is told.
    """

    alert: str
    subject: str
    text: str
    over: str

    @property
    def key(self) -> str:
        return f"{self.alert} {self.subject}"


@dataclass(frozen=True, slots=True)
class Known:
    """A trouble from *since* on, still there at *seen_at*; worth telling once it *is_open*."""

    trouble: Trouble
    since: float
    seen_at: float
    is_open: bool


Troubles = Mapping[str, Known]


def of_lines(sheets: Sequence[Sheet], before: Troubles) -> Iterator[Trouble]:
    """Lines that some worker finds down: those that did not use it since would not know.

    One that was down *before* is so until it has answered: who knew it may have died, and a worker that
    is new thinks well of all.
    """
    views: dict[str, list[dict[str, Any]]] = {}
    for line in _lines(sheets):
        views.setdefault(line["name"], []).append(line)
    down = {name: error for name, seen in views.items() if (error := _down(name, seen, before))}
    for name, error in down.items():
        yield Trouble("line_down", name, error, "it answers again")
    if down and len(down) == len(views):
        yield Trouble(
            "all_lines_down",
            "",
            "nothing new can be fetched, what is cached is served",
            "a line answers again",
        )


def _down(name: str, seen: Sequence[dict[str, Any]], before: Troubles) -> str | None:
    """Why the line counts as down; None when it does not."""
    for line in seen:
        if line["state"] in _DOWN:
            return line["last_error"] or "it does not answer"
    known = before.get(Trouble("line_down", name, "", "").key)
    # It may have answered while the sheet that called it down was still lying there.
    has_answered = known is None or max(line["answered_at"] for line in seen) > known.seen_at - _SHEET_S
    return None if known is None or has_answered else known.trouble.text


def of_budgets(sheets: Sequence[Sheet], low_percent: float, now: float) -> Iterator[Trouble]:
    """Rate limits of which less than *low_percent* is left, as the line told last."""
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for line in _lines(sheets):
        for bucket, budget in line["budgets"].items():
            known = latest.get((line["name"], bucket))
            if known is None or budget["seen_at"] > known["seen_at"]:
                latest[line["name"], bucket] = budget
    for (name, bucket), budget in latest.items():
        quota, remaining = budget["quota"], budget["remaining"]
        window_s = budget["reset_s"] or budget["window_s"] or _WINDOW_S
        is_current = now - budget["seen_at"] < window_s
        if quota and remaining is not None and is_current and remaining * 100 < quota * low_percent:
            text = f"{remaining} of {quota} requests left"
            yield Trouble("rate_budget_low", f"{name} {bucket}", text, "there is enough again")


def of_disk(disk: Disk, high_percent: float) -> Iterator[Trouble]:
    used_percent = 100 * disk.used_bytes / max(disk.size_bytes, 1)
    if used_percent >= high_percent:
        text = f"{used_percent:.1f} % used, {disk.free_bytes / 1e9:.1f} GB free"
        yield Trouble("disk_above_mark", "", text, f"below {high_percent:g} % again")


def of_workers(sheets: Sequence[Sheet], blocked_s: float, now: float) -> Iterator[Trouble]:
    """Workers that were held up for *blocked_s* within the last minute, or are right now."""
    held_up = {sheet.pid: max(sheet.facts["lag"]["worst_s"], now - sheet.beat_at - 1) for sheet in sheets}
    worst = max(held_up, key=held_up.__getitem__, default=None)
    if worst is not None and held_up[worst] >= blocked_s:
        text = f"worker {worst} was held up for {held_up[worst]:.1f} s"
        yield Trouble("hub_blocked", "", text, "no worker is held up any more")


def of_content(run: Path, now: float) -> Iterator[Trouble]:
    """Content that came with a wrong hash, as the store remembers in its folder *run*."""
    wrong = sorted(
        path.name.removeprefix("rejected-") for path in _since(run, "rejected-*", now - _MISMATCH_S)
    )
    if wrong:
        named = ", ".join(etag[:12] for etag in wrong[:5])
        text = f"content of {len(wrong)} blobs had the wrong hash and was thrown away: {named}"
        yield Trouble("hash_mismatch", "", text, "none for an hour")


def of_jobs(jobs: Iterable[Job], now: float) -> Iterator[Trouble]:
    for job in jobs:
        if job.state is State.FAILED and now - job.changed_at < _JOB_S:
            text = f"warm-up of {job.wish.repo} at {job.wish.revision}: {job.reason or 'it failed'}"
            yield Trouble("job_failed", job.id, text, "taken up again, or a day ago")


def of_group(why: str) -> Iterator[Trouble]:
    """*why* the node is not in its group, if it is not."""
    if why:
        yield Trouble("out_of_group", "", why, "it is in its group again")


def of_nodes(nodes: Iterable[dict[str, Any]]) -> Iterator[Trouble]:
    """Nodes of the group that fell silent without signing off."""
    for node in nodes:
        if node["state"] == "lost":
            heard = time.strftime("%H:%M:%S UTC", time.gmtime(node["heard_at"]))
            yield Trouble("node_lost", node["id"], f"last heard at {heard}", "it is back, or forgotten")


def _lines(sheets: Sequence[Sheet]) -> Iterator[dict[str, Any]]:
    for sheet in sheets:
        yield from sheet.facts["lines"]


def _since(folder: Path, pattern: str, then: float) -> Iterator[Path]:
    for path in folder.glob(pattern):
        try:
            if path.stat().st_mtime > then:
                yield path
        except FileNotFoundError:
            continue
