"""``dingospeed mount``, ``unmount`` and ``mounts``: repos in the public directory."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from dingospeed.cli.following import Told
from dingospeed.cli.mirror_client import mirror_of, with_mirror
from dingospeed.cli.names import TYPES, parse_repo
from dingospeed.cli.printing import print_json, print_table, size_text, with_json

_KIND = click.option("--type", "kind", type=click.Choice(sorted(TYPES)), default="model", help="Of the repo.")


@click.command()
@click.argument("repo")
@_KIND
@click.option("--revision", default="main", metavar="REVISION", help="Branch, tag or commit; else main.")
@click.option(
    "--restricted",
    is_flag=True,
    help="Although it is private or gated: whoever reads the directory gets it.",
)
@with_mirror
def mount(repo: str, kind: str, revision: str, restricted: bool, **options: Any) -> None:
    """Put a repo into the public directory, in the layout of the Hub's own clients.

    What is not held yet is fetched first. A branch is followed; older snapshots stay while it is mounted.
    """
    name = parse_repo(repo, kind, revision)
    told = mirror_of(options).ask("POST", "/-/mounts", body={**name, "restricted": restricted})
    for each in told["mounts"]:
        if all(each[key] == name[key] for key in name):
            click.echo(each["path"] or f"not yet: {each['note']}")
    click.echo(f"export HF_HUB_CACHE={told['public']} HF_HUB_OFFLINE=1")


@click.command()
@click.argument("repo")
@_KIND
@with_mirror
def unmount(repo: str, kind: str, **options: Any) -> None:
    """Take a repo out of the public directory: exactly what was put there."""
    name = parse_repo(repo, kind, "main")
    mirror_of(options).ask("DELETE", f"/-/mounts/{name['type']}/{quote(name['repo'])}")


@click.command()
@with_mirror
@with_json
def mounts(as_json: bool, **options: Any) -> None:
    """What is mounted, and what is to be."""
    told = mirror_of(options).get("/-/mounts")
    if as_json:
        print_json(told)
        return
    click.echo(told["public"])
    print_table(("repo", "revision", "commit", "why", "snapshots", ">extra", ""), map(_row, told["mounts"]))


def _row(mount: Told) -> tuple[str, ...]:
    name = mount["repo"] if mount["type"] == "models" else f"{mount['type']}/{mount['repo']}"
    commit = mount["commit"][:12] if mount["commit"] else "-"
    extra = size_text(mount["copied_bytes"])
    return name, mount["revision"], commit, mount["why"], str(mount["snapshots"]), extra, mount["note"]
