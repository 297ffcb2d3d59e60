"""``dingospeed pin``, ``unpin`` and ``pins``: what is never cleaned away."""

from __future__ import annotations

import sys
from typing import Any

import click

from dingospeed.cli.exits import CommandError, Exit
from dingospeed.cli.options import REPOS, REVISION, cache_of, settings_for, with_cache
from dingospeed.cli.printing import print_json, print_table, with_json
from dingospeed.store.pins import Pin, Pins

_REVISION_HELP = "Only its files at this branch, tag or commit, as far as that is known here."


@click.command()
@click.argument("patterns", metavar="REPO...", nargs=-1, required=True, type=REPOS)
@click.option("--revision", type=REVISION, help=_REVISION_HELP)
@with_cache
def pin(patterns: tuple[str, ...], revision: str | None, **options: Any) -> None:
    """Never clean away the files of REPO, "org/name" or a pattern, cached already or not."""
    kept = _pins(options)
    for each in patterns:
        if not kept.add(Pin(each, revision)):
            raise CommandError(f"{each} can not be pinned: the disk is full")


@click.command()
@click.argument("patterns", metavar="REPO...", nargs=-1, required=True, type=REPOS)
@click.option("--revision", type=REVISION, help="As it was given to pin.")
@with_cache
def unpin(patterns: tuple[str, ...], revision: str | None, **options: Any) -> None:
    """Take the pins of REPO out. Code 1 when one of them is not pinned."""
    kept = _pins(options)
    missing = [each for each in patterns if not kept.remove(Pin(each, revision))]
    for each in missing:
        click.echo(f"dingospeed: {Pin(each, revision).name} is not pinned", err=True)
    if missing:
        sys.exit(Exit.NOT_ALL_WELL)


@click.command()
@with_json
@with_cache
def pins(as_json: bool, **options: Any) -> None:
    """List what is pinned. Repos that the settings keep (cleaning.keep) are not listed."""
    found = list(_pins(options).all())
    if as_json:
        print_json([{"repos": each.repos, "revision": each.revision} for each in found])
    elif found:
        print_table(("repos", "revision"), [(each.repos, each.revision or "all") for each in found])


def _pins(options: dict[str, Any]) -> Pins:
    return Pins(cache_of(settings_for(options["config"], options)))
