"""Repos, their commits and files: what the fake Hub has to show.

Entries and commits never change once made; a repo moves its refs from one commit to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from threading import RLock
from typing import Literal
from urllib.parse import quote

from dingospeed.testing import git
from dingospeed.testing.payload import Generated, Payload, Plain

Gated = Literal[False, "auto", "manual"]
# Mode, name and id of what is in a directory.
Row = tuple[str, str, str]

# Where the files of each type of repo are found: the beginning of their address.
PREFIXES = {"models": "", "datasets": "datasets/", "spaces": "spaces/", "kernels": "kernels/"}
DEFAULT_BRANCH = "main"
LFS_THRESHOLD_BYTES = 1 << 20
FIRST_COMMIT = datetime(2026, 1, 1, tzinfo=timezone.utc)
BETWEEN_COMMITS = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class File:
    """Content with a say in how it is kept: *lfs* None leaves that to its size."""

    content: bytes | Generated
    lfs: bool | None = None


@dataclass(frozen=True)
class Entry:
    """A file of a commit. *etag* is what the Hub names its content by."""

    path: str
    payload: Payload
    is_lfs: bool

    @property
    def size(self) -> int:
        return self.payload.size

    @cached_property
    def sha256(self) -> str:
        return self.payload.sha256()

    @cached_property
    def pointer(self) -> bytes:
        """What git holds in place of an LFS file."""
        return git.lfs_pointer(self.sha256, self.size)

    @cached_property
    def blob_id(self) -> str:
        return git.blob_id(self.pointer if self.is_lfs else self.content)

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.blob_id

    @cached_property
    def xet_hash(self) -> str:
        """64 hex digits; the real one is a hash of chunks, here it only has to be another than sha256."""
        return hashlib.sha256(f"xet {self.sha256}".encode()).hexdigest()

    @property
    def content(self) -> bytes:
        return b"".join(self.payload.pieces(0, self.size))


@dataclass(frozen=True)
class Commit:
    """The files of a repo at one time. *changed* tells the commit a file last changed in."""

    sha: str
    message: str
    date: datetime
    entries: Mapping[str, Entry]
    trees: Mapping[str, str]
    changed: Mapping[str, str]
    parent: Commit | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        return self.message.partition("\n")[0]

    @property
    def lfs_files(self) -> Mapping[str, Entry]:
        """The files of git-lfs by their sha256."""
        return {entry.sha256: entry for entry in self.entries.values() if entry.is_lfs}

    def objects(self, author: str) -> Iterator[tuple[str, bytes]]:
        """All that git stores of it, the history before it left out, as (kind, body)."""
        for entry in self.entries.values():
            yield "blob", entry.pointer if entry.is_lfs else entry.content
        for rows in _rows(self.entries, self.trees).values():
            yield "tree", git.tree_body(rows)
        parent = self.parent.sha if self.parent else None
        time_s = int(self.date.timestamp())
        yield "commit", git.commit_body(self.trees[""], parent, author, time_s, self.message)

    def history(self) -> list[Commit]:
        """This commit and all before it, the newest first."""
        found: list[Commit] = []
        commit: Commit | None = self
        while commit:
            found.append(commit)
            commit = commit.parent
        return found

    def listing(self, folder: str, *, recursive: bool) -> list[str] | None:
        """Paths below *folder* ("" for all), directories included; None when there is no such folder.

        In the order of git, where a directory sorts as if its name ended in a slash.
        """
        if folder and folder not in self.trees:
            return None
        if not folder and recursive:
            return self._all_paths
        inside = folder + "/" if folder else ""
        below = [path for path in self._all_paths if path.startswith(inside)]
        return below if recursive else [path for path in below if "/" not in path[len(inside) :]]

    @cached_property
    def _all_paths(self) -> list[str]:
        directories = [path for path in self.trees if path]
        return sorted([*self.entries, *directories], key=self.order)

    def order(self, path: str) -> str:
        """What listings are sorted by."""
        return path + "/" if path in self.trees else path


class Repo:
    """One repo. What a caller may see of it is decided elsewhere; *readers* are the users let in."""

    def __init__(self, type: str, id: str, *, private: bool = False, gated: Gated = False) -> None:
        self.type = type
        self.id = id
        # Of all its commits, whatever it is renamed to later.
        self.author = f"{type}/{id} <fake@hub.invalid>"
        self.private = private
        self.gated: Gated = gated
        self.disabled = False
        self.lfs_threshold_bytes = LFS_THRESHOLD_BYTES
        self.readers: set[str] = set()
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.pull_requests: dict[int, str] = {}
        self.converts: dict[str, str] = {}
        self.commits: dict[str, Commit] = {}
        self._lock = RLock()

    @property
    def object_id(self) -> str:
        """24 hex digits, as a database would give it."""
        return hashlib.sha256(f"{self.type}/{self.id}".encode()).hexdigest()[:24]

    @property
    def address(self) -> str:
        """Where its files are asked for, e.g. ``/datasets/org/name``; ready to be put in a URL."""
        return f"/{PREFIXES[self.type]}{quote(self.id)}"

    @property
    def api_address(self) -> str:
        return f"/api/{self.type}/{quote(self.id)}"

    # --- writing ---------------------------------------------------------------

    def commit(
        self,
        files: Mapping[str, bytes | Generated | File],
        *,
        branch: str = DEFAULT_BRANCH,
        message: str = "Update files",
        delete: Collection[str] = (),
    ) -> str:
        """Put *files* on top of *branch*, made if need be. Returns the sha.

        Raises KeyError when a path of *delete* is not there.
        """
        with self._lock:
            parent = self.commits.get(self.branches.get(branch, ""))
            entries = dict(parent.entries) if parent else {}
            changed = dict(parent.changed) if parent else {}
            for path in delete:
                del entries[path], changed[path]
            new = {path: self._entry(path, content) for path, content in files.items()}
            entries.update(new)
            trees = _trees(entries)
            date = FIRST_COMMIT + BETWEEN_COMMITS * len(self.commits)
            time_s = int(date.timestamp())
            sha = git.commit_id(trees[""], parent.sha if parent else None, self.author, time_s, message)
            changed.update(dict.fromkeys(new, sha))
            self.commits[sha] = Commit(sha, message, date, entries, trees, changed, parent)
            self.branches[branch] = sha
            return sha

    def _entry(self, path: str, given: bytes | Generated | File) -> Entry:
        if not path or path.startswith("/") or path.endswith("/"):
            raise ValueError(f"not the path of a file in a repo: {path!r}")
        file = given if isinstance(given, File) else File(given)
        content = file.content
        payload: Payload = content if isinstance(content, Generated) else Plain(bytes(content))
        is_big = isinstance(content, Generated) or payload.size > self.lfs_threshold_bytes
        return Entry(path, payload, is_big if file.lfs is None else file.lfs)

    def branch(self, name: str, sha: str) -> None:
        """Let *name* point to *sha*, wherever it pointed before."""
        self.branches[name] = self.at(sha).sha

    def tag(self, name: str, sha: str) -> None:
        self.tags[name] = self.at(sha).sha

    def pull_request(self, number: int, sha: str) -> None:
        self.pull_requests[number] = self.at(sha).sha

    def convert(self, name: str, sha: str) -> None:
        """Let ``refs/convert/<name>`` point to *sha*."""
        self.converts[name] = self.at(sha).sha

    def grant(self, user: str) -> None:
        """Let *user* read the repo, private or gated as it may be."""
        self.readers.add(user)

    def revoke(self, user: str) -> None:
        self.readers.discard(user)

    # --- reading ---------------------------------------------------------------

    def find(self, revision: str) -> Commit | None:
        """The commit a branch, tag, ref, sha or the beginning of a sha stands for."""
        sha = self._refs().get(revision) or (revision if revision in self.commits else None)
        if sha is None and 7 <= len(revision) < 40:
            matching = [known for known in self.commits if known.startswith(revision)]
            sha = matching[0] if len(matching) == 1 else None
        return self.commits[sha] if sha else None

    def at(self, revision: str) -> Commit:
        """As find(). Raises KeyError when there is none."""
        commit = self.find(revision)
        if commit is None:
            raise KeyError(f"{self.id} has no revision {revision}")
        return commit

    def entry(self, path: str, revision: str = DEFAULT_BRANCH) -> Entry:
        return self.at(revision).entries[path]

    def content(self, path: str, revision: str = DEFAULT_BRANCH) -> bytes:
        return self.entry(path, revision).content

    def sha256(self, path: str, revision: str = DEFAULT_BRANCH) -> str:
        return self.entry(path, revision).sha256

    def etag(self, path: str, revision: str = DEFAULT_BRANCH) -> str:
        """What clients name the file by: sha256 if it is LFS, git sha1 if not. Without quotes."""
        return self.entry(path, revision).etag

    def files(self, revision: str = DEFAULT_BRANCH) -> list[str]:
        """The paths of all files, in order."""
        return sorted(self.at(revision).entries)

    def git_refs(self) -> dict[str, str]:
        """The refs as git lists them, by their full names."""
        return {name: sha for name, sha in self._refs().items() if name.startswith("refs/")}

    def _refs(self) -> dict[str, str]:
        refs = {"HEAD": self.branches[DEFAULT_BRANCH]} if DEFAULT_BRANCH in self.branches else {}
        refs.update({f"refs/pr/{number}": sha for number, sha in self.pull_requests.items()})
        refs.update({f"refs/convert/{name}": sha for name, sha in self.converts.items()})
        for folder, names in (("refs/tags/", self.tags), ("refs/heads/", self.branches)):
            refs.update(names)
            refs.update({folder + name: sha for name, sha in names.items()})
        return refs


def _trees(entries: Mapping[str, Entry]) -> dict[str, str]:
    """The git ids of all directories by path; "" is the root."""
    inside = _files_by_folder(entries)
    ids: dict[str, str] = {}
    for folder in sorted(inside, key=lambda name: (name != "", name.count("/")), reverse=True):
        ids[folder] = git.tree_id(inside[folder])
        if folder:
            above, _, name = folder.rpartition("/")
            inside[above].append((git.DIRECTORY_MODE, name, ids[folder]))
    return ids


def _rows(entries: Mapping[str, Entry], trees: Mapping[str, str]) -> dict[str, list[Row]]:
    """What is in each directory, as git lists it."""
    inside = _files_by_folder(entries)
    for folder, id in trees.items():
        if folder:
            above, _, name = folder.rpartition("/")
            inside[above].append((git.DIRECTORY_MODE, name, id))
    return inside


def _files_by_folder(entries: Mapping[str, Entry]) -> dict[str, list[Row]]:
    """The files in each directory, also where there are none."""
    inside: dict[str, list[Row]] = {"": []}
    for path, entry in entries.items():
        for folder in _folders_of(path):
            inside.setdefault(folder, [])
        folder, _, name = path.rpartition("/")
        inside[folder].append((git.FILE_MODE, name, entry.blob_id))
    return inside


def _folders_of(path: str) -> Iterable[str]:
    at = path.find("/")
    while at != -1:
        yield path[:at]
        at = path.find("/", at + 1)
