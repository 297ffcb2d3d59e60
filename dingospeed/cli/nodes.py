"""``dingospeed nodes``: the group as the running mirror sees it."""

from __future__ import annotations

import time
from typing import Any

import click

from dingospeed.cli.mirror_client import mirror_of, with_mirror
from dingospeed.cli.printing import print_json, print_table, size_text, with_json

_COLUMNS = ("node", "state", "zone", "address", "since", ">load", ">disk free", ">blobs", ">held")


@click.command()
@with_mirror
@with_json
def nodes(as_json: bool, **options: Any) -> None:
    """Who is in the group, and how each is doing."""
    told = mirror_of(options).get("/-/nodes")
    if as_json:
        print_json(told)
        return
    if told["id"] is None:
        click.echo("This mirror is in no group: cluster.redis_url is not set.")
        return
    if not told["is_current"]:
        why = told["trouble"] or "Redis was not reached yet"
        click.echo(f"This node is on its own, what follows was known last: {why}", err=True)
    print_table(_COLUMNS, (_node(node, told["id"]) for node in told["nodes"]))


def _node(node: dict[str, Any], own_id: str) -> tuple[str, ...]:
    name = f"{node['id']} *" if node["id"] == own_id else str(node["id"])
    if node["state"] == "lost":
        return name, "lost", "", "", _when(node["heard_at"]), "", "", "", ""
    return (
        name,
        node["state"] if node["is_reachable"] else "not reached",
        node["zone"],
        node["address"],
        _when(node["started_at"]),
        f"{node['load']:.2f}",
        size_text(node["disk_free"]),
        str(node["blobs"]),
        size_text(node["blob_bytes"]),
    )


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
