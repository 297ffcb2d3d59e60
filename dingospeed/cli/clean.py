"""``dingospeed clean``: a plan to look at, then the deed."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import click

from dingospeed.cli.exits import CommandError, Exit
from dingospeed.cli.options import DURATION, MARK, REPOS, cache_of, settings_for, with_cache
from dingospeed.cli.printing import age_text, print_json, print_table, size_text, with_json
from dingospeed.config import Settings
from dingospeed.flight.leases import Leases
from dingospeed.mirror.held import Held
from dingospeed.model import FileMeta
from dingospeed.store.layout import Layout
from dingospeed.store.usage import Kind, etag_of, kind_of
from dingospeed.upkeep.apart import rules_of, spare_s
from dingospeed.upkeep.cleaning import (
    STRATEGIES,
    Candidate,
    Cleaned,
    Free,
    Goal,
    Marks,
    NoGoal,
    Plan,
    Rules,
    carry_out,
)
from dingospeed.upkeep.lastcopies import LastCopies, last_copies_of, membership_of
from dingospeed.upkeep.tidying import LEASE, Scope, act, kept_blobs, make_plan

_SHOWN = 40
# For an etag a file that has it.
Names = dict[str, FileMeta]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command line says: all None or empty when it leaves everything to the settings."""

    strategy: str | None
    limit: int | float | None
    free: int | float | None
    older_than: float | None
    repo: tuple[str, ...]
    keep: tuple[str, ...]


@click.command()
@click.option(
    "--strategy", type=click.Choice(list(STRATEGIES), case_sensitive=False), help="What goes first."
)
@click.option("--limit", type=MARK, help="Leave no more than this: of the cache a size, of the disk a share.")
@click.option("--free", type=MARK, help="Until so much of the disk is free.")
@click.option("--older-than", type=DURATION, help="What nobody used for so long, such as 30d.")
@click.option(
    "--repo", type=REPOS, multiple=True, help="Only files of this repo, and of no other; repeatable."
)
@click.option("--keep", type=REPOS, multiple=True, help="No files of this repo; repeatable.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and leave it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_json
@with_cache
def clean(
    dry_run: bool, yes: bool, as_json: bool, config: str | None, repos: str | None, **wish: Any
) -> None:
    """Delete from the cache what is needed least, also while it is served from.

    Without --limit, --free, --older-than and --repo as the settings say, down to cleaning.low_water.
    What is pinned, mounted, being read or being filled stays; in a group what other nodes hold goes first,
    and the last copy of what any node pinned or mounted stays.

    \b
    Codes: 0 done; 1 less could be freed than was asked, or you said no;
    2 wrong options; 3 the cache can not be used.
    """
    settings = settings_for(config, {"repos": repos})
    wanted = _Wish(**wish)
    rules = _rules(settings, wanted)
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json does not ask: add --yes or --dry-run")
    layout = cache_of(settings)
    scope = Scope(keep=settings.cleaning.keep + wanted.keep, only=wanted.repo or None)

    group = last_copies_of(membership_of(settings), layout)
    if group is not None:
        group.ask(kept_blobs(layout, settings.cleaning.keep))
    plan = make_plan(layout, rules, scope, group)
    going = _going(plan, most_rows=None if as_json else _SHOWN)
    names = Held(layout).names({etag_of(row.name) for row in going.rows})
    if not as_json:
        _show(going, plan, names)
    if dry_run or not going.rows:
        cleaned = going.cleaned
    else:
        if not yes:
            click.confirm(f"Delete {_counted(going.cleaned.files)}?", abort=True)
        cleaned = _act(layout, plan, group)
    if as_json:
        print_json(_as_json(going, plan, names, cleaned, is_dry=dry_run))
    elif going.rows and not dry_run:
        click.echo(f"{_counted(cleaned.files)} deleted, {size_text(cleaned.disk_bytes)} freed.")
    if cleaned.missing_bytes:
        if not as_json:
            short = size_text(cleaned.missing_bytes)
            click.echo(f"{short} too little: all else is pinned, mounted or in use.", err=True)
        sys.exit(Exit.NOT_ALL_WELL)


def _rules(settings: Settings, wish: _Wish) -> Rules:
    own = rules_of(settings.cleaning, spare_s=spare_s(settings), is_down=True)
    if wish.limit is not None and wish.free is not None:
        raise click.UsageError("--limit and --free are two ways to say one thing: choose one")
    goal: Goal = NoGoal()
    if wish.limit is not None:
        goal = Marks(wish.limit, wish.limit)
    elif wish.free is not None:
        goal = Free(wish.free)
    has_goal, has_age = goal != NoGoal(), wish.older_than is not None
    is_left_to_settings = not (has_goal or has_age or wish.repo)
    if is_left_to_settings and own.goal == NoGoal() and own.older_than_s is None:
        raise click.UsageError(
            "nothing says what may go: --limit, --free, --older-than or --repo, or cleaning.high_water"
        )
    return Rules(
        strategy=(wish.strategy or own.strategy).upper(),
        goal=own.goal if is_left_to_settings else goal,
        older_than_s=own.older_than_s if is_left_to_settings else wish.older_than,
        leftovers_s=own.leftovers_s,
        spare_s=own.spare_s,
        is_asked=bool(wish.repo) and not (has_goal or has_age),
    )


@dataclass(frozen=True, slots=True)
class _Going:
    """What goes if nobody uses any of it: the first of the candidates, and all of them added up."""

    rows: list[Candidate]
    cleaned: Cleaned


def _going(plan: Plan, *, most_rows: int | None) -> _Going:
    rows: list[Candidate] = []

    def take(candidate: Candidate) -> int:
        if most_rows is None or len(rows) < most_rows:
            rows.append(candidate)
        return candidate.disk_bytes

    return _Going(rows, carry_out(plan, take))


def _act(layout: Layout, plan: Plan, group: LastCopies | None) -> Cleaned:
    lease = Leases(path_of=layout.lease).try_acquire(LEASE)
    if lease is None:
        raise CommandError("another cleaning is at work on this cache: try again later")
    with lease:
        return act(layout, plan, group)


def _show(going: _Going, plan: Plan, names: Names) -> None:
    if not going.rows:
        click.echo(f"Nothing to clean: {size_text(plan.cache_bytes)} are cached.")
        return
    now, files = time.time(), going.cleaned.files
    print_table(
        ("file", ">size", ">unused for", "why"),
        [
            (_what(row, names), size_text(row.disk_bytes), age_text(now - row.used_at), row.why.words)
            for row in going.rows
        ],
    )
    if files > len(going.rows):
        click.echo(f"... and {files - len(going.rows)} more")
    freed, all_of_it = size_text(going.cleaned.disk_bytes), size_text(plan.cache_bytes)
    click.echo(f"{_counted(files)}, {freed} of {all_of_it}.")


def _what(row: Candidate, names: Names) -> str:
    etag = etag_of(row.name)
    file = names.get(etag)
    what = f"{file.repo} {file.path}" if file is not None else f"blob {etag[:12]}"
    kind = kind_of(row.name)
    return what if kind in (None, Kind.BLOB) else f"{what} ({kind.value})"


def _counted(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _as_json(going: _Going, plan: Plan, names: Names, cleaned: Cleaned, *, is_dry: bool) -> dict[str, Any]:
    return {
        "dry_run": is_dry,
        "cache_bytes": plan.cache_bytes,
        "wanted_bytes": plan.surplus_bytes,
        "files": cleaned.files,
        "freed_bytes": cleaned.disk_bytes,
        "in_use": cleaned.in_use,
        "missing_bytes": cleaned.missing_bytes,
        "planned": [
            {
                "name": row.name,
                "disk_bytes": row.disk_bytes,
                "used_at": row.used_at,
                "why": row.why.words,
                **_where(names.get(etag_of(row.name))),
            }
            for row in going.rows
        ],
    }


def _where(file: FileMeta | None) -> dict[str, str]:
    return {} if file is None else {"repo": str(file.repo), "path": file.path}
