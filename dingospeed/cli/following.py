"""Jobs followed on a terminal: a bar for each, and one for each file that is being fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dingospeed.cli.exits import Exit
from dingospeed.cli.mirror_client import NoMirror
from dingospeed.cli.printing import console

Told = dict[str, Any]

_LOOK_S = 0.5
# A mirror that is restarted is back within that.
_AWAY_S = 60.0
_STILL = ("done", "failed", "cancelled", "paused")


class Screen(Protocol):
    """Shows jobs while they go on."""

    def __enter__(self) -> Screen: ...

    def __exit__(self, *error: object) -> None: ...

    def show(self, job: Told) -> None: ...


def follow(ids: Sequence[str], look: Callable[[str], Told]) -> list[Told]:
    """Show the jobs until all are over or paused; how they ended. *look* tells of one of them.

    A mirror that is away is waited for. Raises NoMirror when it does not come back.
    """
    last: dict[str, Told] = {}
    away_since = None
    with screen() as shown:
        while any(id not in last or last[id]["state"] not in _STILL for id in ids):
            try:
                for id in ids:
                    last[id] = look(id)
                    shown.show(last[id])
                away_since = None
            except NoMirror:
                away_since = away_since or time.monotonic()
                if not last or time.monotonic() - away_since > _AWAY_S:
                    raise
            time.sleep(_LOOK_S)
    return [last[id] for id in ids]


def screen() -> Screen:
    out = console(stderr=True)
    return _Bars(out) if out.is_terminal else _Lines()


def exit_code(jobs: Sequence[Told]) -> int:
    return Exit.OK if all(job["state"] == "done" for job in jobs) else Exit.NOT_ALL_WELL


def name_of(job: Told) -> str:
    type = "" if job["type"] == "models" else f"{job['type']}/"
    revision = "" if job["revision"] == "main" else f"@{job['revision']}"
    return f"{type}{job['repo']}{revision}"


def in_words(job: Told) -> str:
    """``org/name running, 1.2 GB of 3.0 GB, 20.1 MB/s, 90 s left (why)``."""
    progress = job["progress"]
    words = [f"{name_of(job)} {job['state']}"]
    if progress["files"]:
        words.append(f"{decimal(progress['bytes_held'])} of {decimal(progress['bytes'])}")
    if progress["rate"]:
        words.append(f"{decimal(progress['rate'])}/s")
    if progress["left_s"]:
        words.append(f"{progress['left_s']} s left")
    reason = f" ({job['reason']})" if job["reason"] else ""
    return ", ".join(words) + reason


class _Lines:
    """For what is no terminal: a line when a job has changed its state, or gone on by a tenth."""

    def __init__(self) -> None:
        self._told: dict[str, object] = {}

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def show(self, job: Told) -> None:
        progress = job["progress"]
        tenth = 10 * progress["bytes_held"] // progress["bytes"] if progress["bytes"] else 0
        news = (job["state"], job["reason"], tenth)
        if self._told.get(job["id"]) != news:
            self._told[job["id"]] = news
            click.echo(in_words(job), err=True)


class _Bars:
    """For a terminal."""

    def __init__(self, out: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=out,
            expand=True,
        )
        self._jobs: dict[str, TaskID] = {}
        self._files: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def show(self, job: Told) -> None:
        progress, id = job["progress"], job["id"]
        if id not in self._jobs:
            held = progress["bytes_held"]
            self._jobs[id] = self._bars.add_task(name_of(job), total=None, completed=held, note="")
        note = job["reason"] or ("" if job["state"] == "running" else job["state"])
        self._bars.update(
            self._jobs[id],
            total=progress["bytes"] if progress["files"] else None,
            completed=progress["bytes_held"],
            note=f"{progress['files_held']}/{progress['files']} files {note}" if progress["files"] else note,
        )
        self._show_files(id, progress["now"])

    def _show_files(self, id: str, now: list[Told]) -> None:
        current = {(id, part["path"]): part for part in now}
        for key in [key for key in self._files if key[0] == id and key not in current]:
            self._bars.remove_task(self._files.pop(key))
        for key, part in current.items():
            if key not in self._files:
                self._files[key] = self._bars.add_task(
                    f"  {key[1]}", total=part["size"], completed=part["held"], note=""
                )
            self._bars.update(self._files[key], completed=part["held"])
