"""``dingospeed status``: how the running mirror is doing."""

from __future__ import annotations

from typing import Any

import click

from dingospeed.cli.mirror_client import mirror_of, with_mirror
from dingospeed.cli.printing import print_json, print_table, size_text, with_json


@click.command()
@with_mirror
@with_json
def status(as_json: bool, **options: Any) -> None:
    """How the running mirror is doing: node, lines, disk."""
    told = mirror_of(options).get("/-/status")
    if as_json:
        print_json(told)
        return
    node, disk = told["node"], told["disk"]
    online = "offline" if node["is_offline"] else "online"
    click.echo(f"dingospeed {node['version']} on {node['name']}, {node['workers']} workers, {online}")
    free, size = size_text(disk["free_bytes"]), size_text(disk["size_bytes"])
    click.echo(f"cache {node['cache']}, {free} free of {size}")
    if disk["cache_bytes"] is not None:
        click.echo(f"{disk['blobs']} blobs, {size_text(disk['cache_bytes'])}")
    if told["lines"]:
        click.echo()
        print_table(("line", "state", ">failures", "last error"), map(_line, told["lines"]))


def _line(line: dict[str, Any]) -> tuple[str, ...]:
    return line["name"], line["state"], str(line["failures"]), line["last_error"] or ""
