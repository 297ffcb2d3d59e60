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
    """How the running mirror is doing: node, disk, traffic, lines, what is being sent."""
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
        click.echo(f"{disk['blobs']} blobs, {size_text(disk['cache_bytes'])}, when last measured")
    _tell_traffic(told["traffic"])
    if told["lines"]:
        click.echo()
        print_table(("line", "state", ">failures", "last error"), map(_line, told["lines"]))
    if told["transfers"]:
        click.echo()
        print_table(
            ("client", "repo", "file", ">sent", ">of", ">a second", "from"), map(_transfer, told["transfers"])
        )


def _tell_traffic(traffic: dict[str, Any]) -> None:
    if traffic["hit_rate"] is None:
        click.echo("no file was asked for in the last 24 hours")
        return
    sent, fetched = size_text(traffic["bytes"]), size_text(traffic["fetched_bytes"])
    click.echo(
        f"last 24 hours: {traffic['requests']} files, {traffic['hit_rate']:.0%} of them from the cache; "
        f"{sent} sent, {fetched} fetched"
    )


def _transfer(transfer: dict[str, Any]) -> tuple[str, ...]:
    return (
        transfer["address"],
        transfer["repo"],
        transfer["file"],
        size_text(transfer["bytes"]),
        size_text(transfer["size"]),
        size_text(transfer["rate"]),
        transfer["cache"],
    )


def _line(line: dict[str, Any]) -> tuple[str, ...]:
    return line["name"], line["state"], str(line["failures"]), line["last_error"] or ""
