"""The repos held here, as a page lists them: found on the disk, a screenful at a time looked into.

Names are cheap and looked up every few seconds; what a repo holds is measured only for those
shown, from its trees and the blobs that lie here, in a native thread. So a hundred thousand documents
cost a directory walk and no more.
"""

from __future__ import annotations

import heapq
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cachetools import TTLCache

from dingospeed import native
from dingospeed.errors import RepoNotFound, UpstreamError
from dingospeed.mirror.tree import file_of
from dingospeed.model import REPO_TYPES, Blob, RepoRef, is_commit
from dingospeed.store.layout import Layout

_NAMES_TTL_S, _SHOWN_TTL_S = 10.0, 10.0
_SHOWN_KEPT = 1000
# Where looking takes long it is done less often: so many times as long passes in between.
_NAMES_REST = 20
_SORTED_AT_ONCE = 2000
# Which revision stands for a repo while it is held.
_DEFAULT = "main"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A commit, its files, and how many of their bytes are here; half-filled ones as they lie there."""

    commit: str
    revisions: tuple[str, ...]
    files: int
    files_held: int
    size_bytes: int
    held_bytes: int
    used_at: float | None

    @property
    def is_complete(self) -> bool:
        return self.files_held == self.files


@dataclass(frozen=True, slots=True)
class Shown:
    """A repo and its commits, the one that stands for it first; never none."""

    repo: RepoRef
    snapshots: tuple[Snapshot, ...]

    @property
    def used_at(self) -> float | None:
        """The last use of any of its files."""
        return max((s.used_at for s in self.snapshots if s.used_at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Screenful:
    """Some of the repos found, and how many there are."""

    rows: tuple[Shown, ...]
    found: int
    start: int


# Names are kept as bare text, and repos made of them only for those shown: a hundred thousand small
# objects would have Python's collector stop the worker each time it looks through them.
Names = tuple[str, ...]
ORDERS = ("recent", "name")


class Catalogue:
    """Lists what lies under *layout*."""

    def __init__(self, *, layout: Layout) -> None:
        self._layout = layout
        self._lock = threading.Lock()
        self._names: dict[str, Names] = {}
        self._good_until = float("-inf")
        self._shown: TTLCache[RepoRef, Shown | None] = TTLCache(_SHOWN_KEPT, _SHOWN_TTL_S)

    def count(self) -> int:
        """How many repos are held; up to ten seconds old, on a large cache a minute."""
        return len(self._all("name"))

    def search(self, text: str, *, order: str = "recent", start: int = 0, count: int = 25) -> Screenful:
        """The repos whose name has all words of *text*, in one of ORDERS, *count* of them from *start* on."""
        names, words = self._all(order), text.lower().split()
        if words:
            names = native.run(_with_words, names, words)
        rows = (self.show(_repo(name)) for name in names[start : start + count])
        return Screenful(tuple(row for row in rows if row is not None), len(names), start)

    def _all(self, order: str) -> Names:
        began = time.monotonic()
        with self._lock:
            if began < self._good_until:
                return self._names[order]
            if self._names:
                # Who comes meanwhile takes the old ones.
                self._good_until = began + _NAMES_TTL_S
        names = native.run(_all_names, self._layout)
        now = time.monotonic()
        with self._lock:
            self._names, self._good_until = names, now + max(_NAMES_TTL_S, (now - began) * _NAMES_REST)
        return names[order]

    def show(self, repo: RepoRef) -> Shown | None:
        """What is held of *repo*, None for nothing; up to ten seconds old."""
        with self._lock:
            if repo in self._shown:
                return self._shown[repo]
        shown = native.run(_measured, self._layout, repo)
        with self._lock:
            self._shown[repo] = shown
        return shown


def _all_names(layout: Layout) -> dict[str, Names]:
    """The names of all repos of which some tree is held, in each of ORDERS."""
    found = list(_named(layout))
    return {
        "recent": tuple(name for _, name in _in_order((-changed_at, name) for changed_at, name in found)),
        "name": tuple(name for _, name in _in_order((name.lower(), name) for _, name in found)),
    }


def _named(layout: Layout) -> Iterator[tuple[float, str]]:
    """When the latest tree of a repo came, and its name."""
    for type in REPO_TYPES:
        for org in _folders(layout.root / "api" / type):
            for name in _folders(org):
                try:
                    repo = RepoRef(type, "" if org.name == "_" else org.name, name.name)
                    yield layout.api(repo, "trees", "x").parent.stat().st_mtime, str(repo)
                except (RepoNotFound, OSError):
                    continue  # Not a repo, or one of which only its name was asked.


def _in_order(found: Iterable[tuple[Any, str]]) -> Iterator[tuple[Any, str]]:
    """*found*, sorted piece by piece: one long sort would let no other thread have its turn."""
    rest = iter(found)
    pieces = iter(lambda: sorted(islice(rest, _SORTED_AT_ONCE)), [])
    return heapq.merge(*pieces)


def _with_words(names: Names, words: list[str]) -> Names:
    return tuple(name for name in names if all(word in name.lower() for word in words))


def _repo(name: str) -> RepoRef:
    type, _, id = name.partition("/")
    return next(RepoRef.parse(known, id) for known in REPO_TYPES if known == type)


def _folders(path: Path) -> Iterator[Path]:
    try:
        with os.scandir(path) as entries:
            yield from (Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return


def _measured(layout: Layout, repo: RepoRef) -> Shown | None:
    trees = layout.api(repo, "trees", "x").parent
    words = _words(layout, repo)
    paths = [path for path in _files(trees) if is_commit(path.stem)]
    default = next((commit for commit, names in words.items() if _DEFAULT in names), "")
    paths.sort(key=lambda path: (path.stem == default, _written_at(path)), reverse=True)
    snapshots = [_snapshot(layout, repo, path, tuple(sorted(words.get(path.stem, ())))) for path in paths]
    found = tuple(snapshot for snapshot in snapshots if snapshot is not None)
    return Shown(repo, found) if found else None


def _words(layout: Layout, repo: RepoRef) -> dict[str, list[str]]:
    """The names of branches and tags by the commit they are believed to be."""
    words: dict[str, list[str]] = {}
    for path in _files(layout.api(repo, "revisions", "x").parent):
        try:
            commit = json.loads(path.read_bytes())["commit"]
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if path.stem != commit and not path.stem.startswith("%sha256-"):
            words.setdefault(commit, []).append(unquote(path.stem))
    return words


def _files(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.suffix == ".json" and entry.name[0] != "."]
    except OSError:
        return []


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _snapshot(layout: Layout, repo: RepoRef, tree: Path, revisions: tuple[str, ...]) -> Snapshot | None:
    """None when the tree has gone, or is damaged."""
    seen: set[str] = set()
    files_held = size_bytes = held_bytes = 0
    used_at: float | None = None
    try:
        for blob in _blobs(repo, tree):
            if blob.etag in seen:
                continue
            seen.add(blob.etag)
            held, last_use = _held(layout, blob)
            files_held += held == blob.size
            size_bytes += blob.size
            held_bytes += held
            if last_use is not None:
                used_at = max(used_at or 0, last_use)
    except (OSError, ValueError):
        return None
    return Snapshot(tree.stem, revisions, len(seen), files_held, size_bytes, held_bytes, used_at)


def _blobs(repo: RepoRef, tree: Path) -> Iterator[Blob]:
    """The content of the tree's files. One entry is parsed at a time: others get their turn in between."""
    text, decoder = tree.read_text(encoding="utf-8", errors="surrogatepass"), json.JSONDecoder()
    at = text.index("[") + 1
    while text[at : at + 1] != "]":
        entry, at = decoder.raw_decode(text, at)
        at += text[at : at + 1] == ","
        if isinstance(entry, dict) and entry.get("type") == "file":
            try:
                yield file_of(repo, tree.stem, entry).blob
            except UpstreamError:
                continue  # Its identity was kept back: nobody can say whether it is held.


def _held(layout: Layout, blob: Blob) -> tuple[int, float | None]:
    """How many bytes of *blob* are here, and when it was last used."""
    try:
        status = layout.sealed(blob.etag).stat()
    except OSError:
        status = None
    if status is not None and status.st_size == blob.size:
        return blob.size, status.st_atime
    try:
        status = layout.partial(blob.etag).stat()
    except OSError:
        return 0, None
    # Less one: nothing is complete before it is sealed.
    return max(0, min(status.st_blocks * 512, blob.size - 1)), status.st_mtime
