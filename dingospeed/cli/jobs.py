"""``dingospeed jobs``: warm-up jobs listed, shown, followed, paused, resumed, cancelled."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from dingospeed.cli.exits import Exit
from dingospeed.cli.following import Told, exit_code, follow, in_words, name_of
from dingospeed.cli.mirror_client import MirrorClient, mirror_of, with_mirror
from dingospeed.cli.printing import print_json, print_table, size_text, with_json


@click.group(invoke_without_command=True)
@with_mirror
@with_json
@click.pass_context
def jobs(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Warm-up jobs. Without a command: list them."""
    if context.invoked_subcommand is None:
        _list(mirror_of(options), as_json=as_json)


@jobs.command("list")
@with_mirror
@with_json
def list_(as_json: bool, **options: Any) -> None:
    """All jobs, the latest first."""
    _list(mirror_of(options), as_json=as_json)


@jobs.command()
@click.argument("id")
@with_mirror
@with_json
def show(id: str, as_json: bool, **options: Any) -> None:
    """One job."""
    client = mirror_of(options)
    job = client.get(f"/-/jobs/{_whole(client, id)}")
    if as_json:
        print_json(job)
        return
    click.echo(f"{job['id']}  {in_words(job)}")
    for part in job["progress"]["now"]:
        click.echo(f"  {part['path']}  {size_text(part['held'])} of {size_text(part['size'])}")
    if job["shares"]:
        print_table(("node", "state", ">held", ">of", ">rate", "reason"), map(_share, job["shares"]))


@jobs.command("follow")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@with_mirror
def follow_(ids: tuple[str, ...], **options: Any) -> None:
    """Show how jobs go on, until they are over or paused; Ctrl-C ends only the showing."""
    client = mirror_of(options)
    whole = [_whole(client, id) for id in ids]
    try:
        ended = follow(whole, lambda id: client.get(f"/-/jobs/{id}"))
    except KeyboardInterrupt:
        sys.exit(Exit.OK)
    sys.exit(exit_code(ended))


@jobs.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@with_mirror
def pause(ids: tuple[str, ...], **options: Any) -> None:
    """Stop jobs for a while; what they have fetched stays."""
    _act(ids, "pause", options)


@jobs.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("--token", metavar="TOKEN", help="Of the Hub, where the job needs it anew; - asks for it.")
@with_mirror
def resume(ids: tuple[str, ...], token: str | None, **options: Any) -> None:
    """Let jobs go on that are paused or have failed."""
    if token == "-":  # noqa: S105
        token = click.prompt("Token", hide_input=True, err=True)
    _act(ids, "resume", options, {"token": token} if token else None)


@jobs.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@with_mirror
def cancel(ids: tuple[str, ...], **options: Any) -> None:
    """End jobs; what they have fetched stays."""
    _act(ids, "cancel", options)


def _act(ids: tuple[str, ...], act: str, options: dict[str, Any], body: Told | None = None) -> None:
    client = mirror_of(options)
    for id in [_whole(client, id) for id in ids]:
        job = client.ask("POST", f"/-/jobs/{id}/{act}", body=body)
        click.echo(f"{job['id']}  {in_words(job)}")


def _whole(client: MirrorClient, id: str) -> str:
    """The id that ends with *id*, as nobody types all of it. Raises BadParameter."""
    known = [job["id"] for job in client.get("/-/jobs")["jobs"]]
    matching = [one for one in known if one.endswith(id)]
    if len(matching) != 1:
        raise click.BadParameter(f"{'no' if not matching else 'more than one'} job ends with {id!r}")
    return str(matching[0])


def _list(client: MirrorClient, *, as_json: bool) -> None:
    told = client.get("/-/jobs")
    if as_json:
        print_json(told)
        return
    columns = ("id", "repo", "state", ">held", ">of", ">rate", "since", "reason")
    is_of_group = any(job["nodes"] for job in told["jobs"])
    rows = ((*_row(job), job["nodes"] or "") if is_of_group else _row(job) for job in told["jobs"])
    print_table((*columns, "nodes") if is_of_group else columns, rows)


def _share(share: Told) -> tuple[str, ...]:
    progress = share["progress"]
    state = f"{share['state']}, lost" if share["is_lost"] else share["state"]
    sizes = size_text(progress["bytes_held"]), size_text(progress["bytes"])
    return share["node"], state, *sizes, _rate(progress), share["reason"]


def _rate(progress: Told) -> str:
    return f"{size_text(progress['rate'])}/s" if progress["rate"] else ""


def _row(job: Told) -> tuple[str, ...]:
    progress = job["progress"]
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(job["created_at"]))
    sizes = size_text(progress["bytes_held"]), size_text(progress["bytes"])
    return job["id"], name_of(job), job["state"], *sizes, _rate(progress), since, job["reason"]
