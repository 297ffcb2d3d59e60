"""``dingospeed warmup``: have repos fetched before anybody asks for them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TextIO

import click

from dingospeed.cli.exits import Exit
from dingospeed.cli.following import Told, exit_code, follow, name_of
from dingospeed.cli.mirror_client import MirrorClient, MirrorRefuses, mirror_of, with_mirror
from dingospeed.cli.names import TYPES, parse_repo
from dingospeed.cli.options import settings_for
from dingospeed.cli.printing import print_json, print_table, size_text, with_json
from dingospeed.errors import DingospeedError
from dingospeed.model import Caller, RepoRef, checked_revision
from dingospeed.upkeep.jobs import Wish, told

_INTERRUPTED = 130


class Taker(Protocol):
    """Takes wishes: the running mirror, or this process."""

    def plan(self, wish: Told) -> Told: ...

    def begin(self, wish: Told) -> Told: ...

    def look(self, id: str) -> Told: ...


@click.command()
@click.argument("named", nargs=-1, metavar="REPO…")
@click.option("--type", "kind", type=click.Choice(sorted(TYPES)), default="model", help="What the repos are.")
@click.option("--revision", default="main", metavar="REVISION", help="Branch, tag or commit; else main.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only files that match; may be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No files that match; may be repeated.")
@click.option("--token", metavar="TOKEN", help="Of the Hub, for what is private or gated; - asks for it.")
@click.option("--file", "listed", type=click.File(), metavar="LIST", help="Repos, one a line; - is stdin.")
@click.option(
    "--nodes",
    metavar="NODES",
    help="Of the group, each to hold it: all, how many, or their names with commas.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be fetched, and fetch nothing.")
@click.option("--detach", is_flag=True, help="Begin, and do not wait for the end.")
@click.option("--local", is_flag=True, help="In this process, without a running mirror.")
@with_mirror
@with_json
def warmup(
    named: tuple[str, ...],
    listed: TextIO | None,
    token: str | None,
    nodes: str | None,
    dry_run: bool,
    detach: bool,
    local: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fetch repos into the cache before anybody asks for them.

    REPO is org/name, or datasets/org/name@revision. The job goes on when you leave with Ctrl-C, and over
    restarts of the mirror; `dingospeed jobs` shows it.
    """
    if token == "-":  # noqa: S105
        token = click.prompt("Token", hide_input=True, err=True)
    if nodes is not None and local:
        raise click.UsageError("either --nodes or --local")
    given = {name: value for name, value in {"token": token, "nodes": nodes}.items() if value is not None}
    wishes = [{**_wish(name, options), **given} for name in (*named, *_names_in(listed or ()))]
    if not wishes:
        raise click.UsageError("name a repo, or a list of them with --file")
    taker: Taker = _Here(options) if local else _There(mirror_of(options))
    if dry_run:
        plans, failures = _each(wishes, taker.plan)
        print_json({"plans": plans}) if as_json else _print_plans(plans)
        sys.exit(Exit.NOT_ALL_WELL if failures else Exit.OK)
    jobs, failures = _each(wishes, taker.begin)
    if not detach:
        jobs = _follow(jobs, taker)
    if as_json:
        print_json({"jobs": jobs})
    elif detach:
        for job in jobs:
            click.echo(f"{job['id']}  {name_of(job)}")
    sys.exit(Exit.NOT_ALL_WELL if failures else Exit.OK if detach else exit_code(jobs))


def _names_in(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        name = line.partition("#")[0].strip()
        if name:
            yield name


def _wish(name: str, options: dict[str, Any]) -> Told:
    """What is asked for, as the routes of the mirror take it. Raises BadParameter."""
    return {
        **parse_repo(name, options["kind"], options["revision"]),
        "include": list(options["include"]),
        "exclude": list(options["exclude"]),
    }


def _each(wishes: list[Told], take: Callable[[Told], Told]) -> tuple[list[Told], int]:
    """What *take* makes of each; how many are refused, which is told and stops none of the others."""
    taken, failures = [], 0
    for wish in wishes:
        try:
            taken.append(take(wish))
        except MirrorRefuses as error:
            if error.status == 401:
                raise
            failures += 1
            click.echo(f"{name_of(wish)}: {error.format_message()}", err=True)
        except DingospeedError as error:
            failures += 1
            click.echo(f"{name_of(wish)}: {error}", err=True)
    return taken, failures


def _follow(jobs: list[Told], taker: Taker) -> list[Told]:
    try:
        return follow([job["id"] for job in jobs], taker.look)
    except KeyboardInterrupt:
        ids = " ".join(job["id"] for job in jobs)
        goes_on = "goes on when the mirror runs" if isinstance(taker, _Here) else "goes on without you"
        click.echo(
            f"\nThis {goes_on}.\n"
            f"  see how far it is:  dingospeed jobs follow {ids}\n"
            f"  stop for a while:   dingospeed jobs pause {ids}\n"
            f"  and go on:          dingospeed jobs resume {ids}\n"
            f"  end it:             dingospeed jobs cancel {ids}",
            err=True,
        )
        sys.exit(_INTERRUPTED)


def _print_plans(plans: list[Told]) -> None:
    for plan in plans:
        missing = plan["bytes"] - plan["bytes_held"]
        click.echo(
            f"{plan['type']}/{plan['repo']} at {plan['commit'][:12]}: {len(plan['files'])} files,"
            f" {size_text(plan['bytes'])}, {size_text(missing)} to fetch"
        )
        rows = ((file["path"], size_text(file["size"]), _held(file)) for file in plan["files"])
        print_table(("file", ">size", "held"), rows)


def _held(file: Told) -> str:
    if file["held"] == file["size"]:
        return "yes"
    return f"{100 * file['held'] // file['size']} %" if file["held"] else "no"


class _There:
    """The running mirror."""

    def __init__(self, client: MirrorClient) -> None:
        self._client = client

    def plan(self, wish: Told) -> Told:
        plan: Told = self._client.ask("POST", "/-/plans", body=wish)
        return plan

    def begin(self, wish: Told) -> Told:
        job: Told = self._client.ask("POST", "/-/jobs", body=wish)
        return job

    def look(self, id: str) -> Told:
        job: Told = self._client.get(f"/-/jobs/{id}")
        return job


class _Here:
    """This process, on the cache of the settings; a mirror that uses it at the moment takes no harm."""

    def __init__(self, options: dict[str, Any]) -> None:
        if options["server"]:
            raise click.UsageError("either --server or --local")

        # Only here: the other commands need no mirror of their own.
        from dingospeed.services import connect

        parts = connect(settings_for(options["config"], options))
        self._warmups, self._runner = parts.upkeep.warm_up.warmups, parts.upkeep.warm_up.runner

    def plan(self, wish: Told) -> Told:
        wanted, caller = _understood(wish)
        plan = self._warmups.plan(wanted, caller)
        return plan.told(self._warmups.held(plan))

    def begin(self, wish: Told) -> Told:
        job, _ = self._warmups.begin(*_understood(wish))
        threading.Thread(target=self._runner.run, args=(job.id,), name="warm-up", daemon=True).start()
        return told(job)

    def look(self, id: str) -> Told:
        return told(self._warmups.jobs.get(id))


def _understood(wish: Told) -> tuple[Wish, Caller]:
    repo = RepoRef.parse(wish["type"], wish["repo"])
    wanted = Wish(repo, checked_revision(wish["revision"]), tuple(wish["include"]), tuple(wish["exclude"]))
    return wanted, Caller(wish.get("token"), "127.0.0.1")
