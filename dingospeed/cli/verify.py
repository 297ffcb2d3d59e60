"""``dingospeed verify``: is everything that is cached still right?"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dingospeed.cli.exits import Exit
from dingospeed.cli.options import REPOS, cache_of, settings_for, with_cache
from dingospeed.cli.printing import console, print_json, print_table, size_text, with_json
from dingospeed.config import Settings
from dingospeed.mirror.held import Held
from dingospeed.mirror.rules import Globs
from dingospeed.model import Caller, FileMeta
from dingospeed.services import connect
from dingospeed.store.layout import Layout
from dingospeed.store.usage import Kind, walk
from dingospeed.upkeep.verification import Damaged, Outcome, Repair, find_damaged

# What is damaged, what became of it, and why.
_Row = tuple[Damaged, Outcome, str]


@click.command()
@click.option(
    "--repair", is_flag=True, help="Set aside what is wrong, and fetch it anew where upstream answers."
)
@click.option("--repo", type=REPOS, multiple=True, help="Only files of this repo; repeatable.")
@click.option(
    "--token",
    envvar="HF_TOKEN",
    help="A token of the Hub, to repair what is not public; HF_TOKEN will do as well.",
)
@with_json
@with_cache
def verify(
    repair: bool,
    repo: tuple[str, ...],
    token: str | None,
    as_json: bool,
    config: str | None,
    repos: str | None,
) -> None:
    """Hash all complete files of the cache once more, also while it is served from.

    Without --repair nothing is changed.

    \b
    Codes: 0 all is right, or was repaired; 1 something is damaged;
    2 wrong options; 3 the cache can not be used.
    """
    settings = settings_for(config, {"repos": repos})
    layout = cache_of(settings)
    held = Held(layout)
    etags = set(_etags(layout, held, repo))
    size_bytes = sum(_size(layout, etag) for etag in etags)

    with _bar() as bar:
        task = bar.add_task("verifying", total=size_bytes)
        damaged = list(find_damaged(layout, sorted(etags), on_bytes=lambda count: bar.advance(task, count)))
    names = held.names({each.etag for each in damaged})
    if repair and damaged:
        rows = list(_repaired(settings, layout, damaged, names, Caller(token)))
    else:
        rows = [(each, Outcome.FOUND, each.why) for each in damaged]
    show = _print_json if as_json else _print_table
    show(rows, names, len(etags), size_bytes)
    if any(outcome is not Outcome.REPAIRED for _, outcome, _ in rows):
        sys.exit(Exit.NOT_ALL_WELL)


def _print_json(rows: list[_Row], names: dict[str, FileMeta], blobs: int, size_bytes: int) -> None:
    damaged = [
        {"etag": each.etag, "outcome": outcome.value, "why": why, **_where(names.get(each.etag))}
        for each, outcome, why in rows
    ]
    print_json({"blobs": blobs, "bytes": size_bytes, "damaged": damaged})


def _print_table(rows: list[_Row], names: dict[str, FileMeta], blobs: int, size_bytes: int) -> None:
    if rows:
        print_table(
            ("file", "outcome", "why"),
            [(_what(each, names), outcome.value, why) for each, outcome, why in rows],
        )
    click.echo(f"{blobs} blobs, {size_text(size_bytes)}, {len(rows)} damaged.")


def _etags(layout: Layout, held: Held, patterns: tuple[str, ...]) -> Iterator[str]:
    """The sealed blobs that are meant."""
    if not patterns:
        yield from (file.etag for file in walk(layout) if file.kind is Kind.BLOB)
        return
    wanted = Globs(patterns)
    for repo in held.repos():
        if wanted.match(repo):
            yield from (etag for etag in held.etags(repo) if layout.sealed(etag).exists())


def _size(layout: Layout, etag: str) -> int:
    try:
        return layout.sealed(etag).stat().st_size
    except FileNotFoundError:
        return 0


def _repaired(
    settings: Settings, layout: Layout, damaged: list[Damaged], names: dict[str, FileMeta], caller: Caller
) -> Iterator[_Row]:
    parts = connect(settings)
    repair = Repair(layout=layout, blobs=parts.ground.blobs, files=parts.mirror.files, caller=caller)
    for each in damaged:
        outcome, why = repair.repair(each, names.get(each.etag))
        yield each, outcome, why or each.why


def _what(damaged: Damaged, names: dict[str, FileMeta]) -> str:
    file = names.get(damaged.etag)
    return f"{file.repo} {file.path}" if file is not None else f"blob {damaged.etag[:12]}"


def _where(file: FileMeta | None) -> dict[str, str]:
    return {} if file is None else {"repo": str(file.repo), "path": file.path}


def _bar() -> Progress:
    shown = console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=shown,
        disable=not shown.is_terminal,
    )
