"""``dingospeed ls``: which repos are here, and how much of each; or file by file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from dingospeed.cli.exits import Exit
from dingospeed.cli.options import REPOS, cache_of, settings_for, with_cache
from dingospeed.cli.printing import age_text, print_json, print_table, size_text, with_json
from dingospeed.mirror.catalogue import Catalogue, Shown, Snapshot
from dingospeed.mirror.held import Held
from dingospeed.mirror.rules import Globs
from dingospeed.model import RepoRef
from dingospeed.store.blobs import Blobs
from dingospeed.store.layout import Layout


@click.command()
@click.argument("patterns", metavar="[REPO]...", nargs=-1, type=REPOS)
@click.option("--files", is_flag=True, help="The files of each repo, at the commit that is listed first.")
@with_json
@with_cache
def ls(patterns: tuple[str, ...], files: bool, as_json: bool, config: str | None, repos: str | None) -> None:
    """List the repos of which the list of files is here, and how much of them.

    REPO is "org/name" or a pattern. Code 1 when there is none that it matches.
    """
    settings = settings_for(config, {"repos": repos})
    layout = cache_of(settings)
    wanted = Globs(patterns or ("*",))
    found = sorted(_shown(layout, wanted), key=lambda shown: str(shown.repo))
    if files:
        blobs = Blobs(layout=layout, block_bytes=settings.download.block_bytes)
        _list_files(layout, blobs, found, as_json=as_json)
    else:
        _list_repos(found, as_json=as_json)
    if patterns and not found:
        sys.exit(Exit.NOT_ALL_WELL)


def _shown(layout: Layout, wanted: Globs) -> Iterator[Shown]:
    catalogue = Catalogue(layout=layout)
    for repo in Held(layout).repos():
        shown = catalogue.show(repo) if wanted.match(repo) else None
        if shown is not None:
            yield shown


def _list_repos(found: list[Shown], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "repo": str(shown.repo),
                    "used_at": shown.used_at,
                    "commits": [
                        {**asdict(snapshot), "is_complete": snapshot.is_complete}
                        for snapshot in shown.snapshots
                    ],
                }
                for shown in found
            ]
        )
        return
    rows = [_row(shown.repo, snapshot) for shown in found for snapshot in shown.snapshots]
    if rows:
        print_table(("repo", "commit", "revisions", ">files", ">here", ">of", ">unused for"), rows)


def _row(repo: RepoRef, snapshot: Snapshot) -> tuple[str, ...]:
    return (
        str(repo),
        snapshot.commit[:12],
        ", ".join(snapshot.revisions),
        f"{snapshot.files_held}/{snapshot.files}",
        size_text(snapshot.held_bytes),
        size_text(snapshot.size_bytes),
        age_text(time.time() - snapshot.used_at) if snapshot.used_at is not None else "",
    )


def _list_files(layout: Layout, blobs: Blobs, found: list[Shown], *, as_json: bool) -> None:
    files = [file for shown in found for file in Held(layout).files(shown.repo, shown.snapshots[0].commit)]
    rows: list[dict[str, Any]] = [
        {
            "repo": str(file.repo),
            "commit": file.commit,
            "path": file.path,
            "etag": file.blob.etag,
            "size_bytes": file.blob.size,
            "held_bytes": blobs.peek(file.blob),
        }
        for file in files
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(
            ("repo", "file", ">size", ">here"),
            [
                (
                    row["repo"],
                    row["path"],
                    size_text(row["size_bytes"]),
                    _share(row["held_bytes"], row["size_bytes"]),
                )
                for row in rows
            ],
        )


def _share(held_bytes: int, size_bytes: int) -> str:
    """Rounded down: what is not complete is not 100 %."""
    return f"{held_bytes * 100 // size_bytes} %" if size_bytes else "100 %"
