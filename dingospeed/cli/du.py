"""``dingospeed du``: what takes the disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import click

from dingospeed.cli.options import REPOS, cache_of, settings_for, with_cache
from dingospeed.cli.printing import print_json, print_table, size_text, with_json
from dingospeed.mirror.held import Held
from dingospeed.mirror.rules import Globs
from dingospeed.model import RepoRef
from dingospeed.store.usage import Kind, disk_of, walk


@dataclass(frozen=True, slots=True)
class _Share:
    """What a repo takes of the disk, and how much of it no other repo names."""

    repo: RepoRef
    disk_bytes: int
    own_bytes: int


@click.command()
@click.argument("patterns", metavar="[REPO]...", nargs=-1, type=REPOS)
@with_json
@with_cache
def du(patterns: tuple[str, ...], as_json: bool, config: str | None, repos: str | None) -> None:
    """What each repo takes of the disk, the largest first, and what the whole cache does.

    Content that several repos share is stored once, and counted for each; "own" is what would come free
    without the repo. Half-filled files count for what they hold.
    """
    layout = cache_of(settings_for(config, {"repos": repos}))
    stored: Counter[str] = Counter()
    kinds: Counter[Kind] = Counter()
    for file in walk(layout):
        kinds[file.kind] += file.disk_bytes
        if file.kind is not Kind.LEFTOVER:
            stored[file.etag] += file.disk_bytes
    shares, orphan_bytes = _shares(Held(layout), stored)
    wanted, disk = Globs(patterns or ("*",)), disk_of(layout.root)
    shown = sorted(
        (share for share in shares if wanted.match(share.repo)), key=lambda share: -share.disk_bytes
    )
    if as_json:
        print_json(
            {
                "repos": [
                    {"repo": str(share.repo), "disk_bytes": share.disk_bytes, "own_bytes": share.own_bytes}
                    for share in shown
                ],
                "cache_bytes": kinds.total(),
                "blob_bytes": kinds[Kind.BLOB],
                "partial_bytes": kinds[Kind.PARTIAL],
                "leftover_bytes": kinds[Kind.LEFTOVER],
                "orphan_bytes": orphan_bytes,
                "disk_size_bytes": disk.size_bytes,
                "disk_free_bytes": disk.free_bytes,
            }
        )
        return
    if shown:
        print_table(
            (">size", ">own", "repo"),
            [(size_text(share.disk_bytes), size_text(share.own_bytes), str(share.repo)) for share in shown],
        )
        click.echo()
    parts = [f"{size_text(kinds[kind])} {kind.value}" for kind in Kind if kinds[kind]]
    parts += [f"{size_text(orphan_bytes)} of no repo"] if orphan_bytes else []
    click.echo(f"{size_text(kinds.total())} in all" + (f": {', '.join(parts)}" if parts else ""))
    click.echo(f"{size_text(disk.free_bytes)} of {size_text(disk.size_bytes)} are free.")


def _shares(held: Held, stored: Counter[str]) -> tuple[list[_Share], int]:
    """What each repo takes, and what is of none."""
    named: Counter[str] = Counter()
    for repo in held.repos():
        named.update(_stored_of(held, repo, stored))
    shares = []
    for repo in held.repos():
        etags = _stored_of(held, repo, stored)
        if etags:
            own = sum(stored[etag] for etag in etags if named[etag] == 1)
            shares.append(_Share(repo, sum(stored[etag] for etag in etags), own))
    return shares, sum(size for etag, size in stored.items() if etag not in named)


def _stored_of(held: Held, repo: RepoRef, stored: Counter[str]) -> set[str]:
    return {etag for etag in held.etags(repo) if etag in stored}
