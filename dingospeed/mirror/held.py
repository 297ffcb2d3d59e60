"""Which repos are held here, and which blobs each of them names: looked up in the documents.

For work that goes over everything there is: it reads from the disk each time, keeps nothing and
takes little memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dingospeed.errors import RepoNotFound, UpstreamError
from dingospeed.mirror.tree import file_of
from dingospeed.model import REPO_TYPES, FileMeta, RepoRef, is_commit, is_etag
from dingospeed.store.layout import Layout

# An etag as a whole text, in a tree or, with the name of the hash, in a manifest. Looked for in the bytes of
# the document: parsed, the listing of a huge repo takes more memory than all the rest of a cleaning.
_ETAG = re.compile(rb'"(?:sha256:)?([0-9a-f]{64}|[0-9a-f]{40})"')
_LONGEST = len('"sha256:"') + 64
_CHUNK = 1 << 20
_LISTING_FOLDERS = ("trees", "manifests")


class Held:
    """The repos under *layout*."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def repos(self) -> Iterator[RepoRef]:
        """Those that any document is about, in the order of their names within each type."""
        for type in REPO_TYPES:
            for org in _folders(self._layout.root / "api" / type):
                for name in _folders(org):
                    try:
                        yield RepoRef(type, "" if org.name == "_" else org.name, name.name)
                    except RepoNotFound:
                        continue

    def etags(self, repo: RepoRef) -> Iterator[str]:
        """What *repo* names, at any commit known here; some more than once, and some that are no blobs."""
        for folder in _LISTING_FOLDERS:
            for path in _documents(self._layout.api(repo, folder, "x").parent):
                yield from _etags_in(path)
        for path in _documents(self._layout.api(repo, "lfs", "x").parent):
            if is_etag(path.stem):
                yield path.stem

    def etags_at(self, repo: RepoRef, revision: str) -> Iterator[str]:
        """What *repo* names at *revision* as it is known here; nothing where that is not known."""
        commit = self.commit(repo, revision)
        if commit is not None:
            yield from _etags_in(self._layout.api(repo, "trees", commit))

    def commit(self, repo: RepoRef, revision: str) -> str | None:
        """Which commit *revision* was said to be; None when that is not known here."""
        if is_commit(revision):
            return revision
        try:
            told = json.loads(self._layout.api(repo, "revisions", revision).read_bytes())
        except (OSError, ValueError):
            return None
        commit = told.get("commit") if isinstance(told, dict) else None
        return commit if isinstance(commit, str) and is_commit(commit) else None

    def commits(self, repo: RepoRef) -> list[str]:
        """Those of which the tree is held."""
        paths = _documents(self._layout.api(repo, "trees", "x").parent)
        return sorted(path.stem for path in paths if is_commit(path.stem))

    def files(self, repo: RepoRef, commit: str) -> Iterator[FileMeta]:
        """The files of *repo* at *commit*; nothing where its tree is not held."""
        for entry in _entries_in(self._layout.api(repo, "trees", commit)):
            if entry.get("type") == "file":
                try:
                    yield file_of(repo, commit, entry)
                except (UpstreamError, KeyError):
                    continue  # Its identity was kept back.

    def names(self, etags: Collection[str]) -> dict[str, FileMeta]:
        """For each of *etags* that any repo names a file that has it."""
        found: dict[str, FileMeta] = {}
        for repo in self.repos():
            for commit in self.commits(repo):
                if len(found) == len(etags):
                    return found
                for file in self.files(repo, commit):
                    if file.blob.etag in etags:
                        found.setdefault(file.blob.etag, file)
        return found


def _etags_in(path: Path) -> Iterator[str]:
    with suppress(OSError), path.open("rb") as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            text, end = rest + chunk, 0
            for found in _ETAG.finditer(text):
                yield found[1].decode("ascii")
                end = found.end()
            # One that the end of the chunk cuts in two is looked for again.
            rest = text[max(end, len(text) - _LONGEST) :]


def _entries_in(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a listing, up to where it is damaged."""
    decoder = json.JSONDecoder()
    with suppress(OSError), path.open(encoding="utf-8", errors="surrogatepass") as file:
        rest = ""
        while chunk := file.read(_CHUNK):
            text, end = rest + chunk, 0
            while (at := text.find("{", end)) >= 0:
                try:
                    entry, end = decoder.raw_decode(text, at)
                except ValueError:
                    break  # Cut in two by the end of the chunk.
                yield entry
            rest = text[end:]


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(found for found in path.iterdir() if found.is_dir())
    except OSError:
        return []


def _documents(path: Path) -> list[Path]:
    try:
        return [found for found in path.iterdir() if found.suffix == ".json" and found.name[0] != "."]
    except OSError:
        return []
