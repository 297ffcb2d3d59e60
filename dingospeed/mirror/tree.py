"""The whole recursive tree of a commit, and every answer that can be made from it.

Entries are kept as the Hub gave them (`type`, `path`, `size`, `oid`, and `lfs` and `xetHash` for LFS
files), in the Hub's order. What clients are shown of the last is for mirror/xet.py to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from dingospeed.errors import EntryNotFound, UpstreamError
from dingospeed.mirror.xet import without_xet, xet_hash_of
from dingospeed.model import Blob, FileMeta, RepoRef, is_etag

Entry = dict[str, Any]
# How the Hub shows the identity of content that the caller may not have.
_MASK = "*" * 64


class Tree:
    """The entries of *repo* at *commit*."""

    def __init__(self, repo: RepoRef, commit: str, entries: list[Entry]) -> None:
        self.repo = repo
        self.commit = commit
        self.entries = entries
        self._by_path = {entry["path"]: entry for entry in entries}

    @cached_property
    def is_masked(self) -> bool:
        """Whether the Hub kept identities back; then no file can be told from another."""
        return any(_is_masked(entry) for entry in self.entries)

    def file(self, path: str) -> FileMeta:
        """Raises EntryNotFound when there is no such file, also when it is a folder."""
        entry = self._by_path.get(path)
        if entry is None or entry.get("type") != "file":
            raise EntryNotFound(path, commit=self.commit)
        return file_of(self.repo, self.commit, entry)

    @cached_property
    def lfs_files(self) -> dict[str, Entry]:
        """The files of git-lfs by their sha256."""
        return {entry["lfs"]["oid"]: entry for entry in self.files() if entry.get("lfs")}

    def by_xet_hash(self, hash: str) -> FileMeta | None:
        """The LFS file that Xet knows by *hash*: the Hub's or, for want of one, its sha256."""
        entry = self._by_xet_hash.get(hash)
        return file_of(self.repo, self.commit, entry) if entry is not None else None

    @cached_property
    def _by_xet_hash(self) -> dict[str, Entry]:
        told = {entry["xetHash"]: entry for entry in self.lfs_files.values() if xet_hash_of(entry)}
        return {**self.lfs_files, **told}

    def files(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.get("type") == "file"]

    def listing(self, path: str, *, is_recursive: bool) -> list[Entry]:
        """What lies in the folder *path* ("" is the root). Raises EntryNotFound."""
        if not path:
            below: Iterable[Entry] = self.entries
        else:
            folder = self._by_path.get(path)
            prefix = path + "/"
            below = [entry for entry in self.entries if entry["path"].startswith(prefix)]
            if not below and (folder is None or folder.get("type") != "directory"):
                raise EntryNotFound(path, commit=self.commit)
        depth = path.count("/") + 1 if path else 0
        return [entry for entry in below if is_recursive or entry["path"].count("/") == depth]

    def named(self, paths: Iterable[str]) -> list[Entry]:
        """The entries of those *paths* that exist, without the unknown ones."""
        wanted = (path.strip("/") for path in paths)
        return [self._by_path[path] for path in dict.fromkeys(wanted) if path in self._by_path]

    def siblings(self) -> list[Entry]:
        """Its files in the form of a repo's `siblings` with `blobs=true`."""
        return [_sibling(entry) for entry in self.files()]


def masked(entries: Iterable[Entry]) -> list[Entry]:
    """A copy of *entries* as the Hub shows them to callers without access: LFS identities starred out."""
    return [
        {**without_xet(entry), "lfs": {**entry["lfs"], "oid": _MASK}} if entry.get("lfs") else entry
        for entry in entries
    ]


def file_of(repo: RepoRef, commit: str, entry: Entry) -> FileMeta:
    """The file that *entry* describes.

    Raises UpstreamError when it has no identity: masked, or not of a known form. A mask is
    never taken for one.
    """
    lfs = entry.get("lfs")
    etag = lfs.get("oid") if lfs else entry.get("oid")
    size = lfs.get("size") if lfs else entry.get("size")
    if not isinstance(etag, str) or not is_etag(etag) or not isinstance(size, int) or size < 0:
        raise UpstreamError(f"{repo} {entry.get('path')}: upstream does not tell its identity")
    return FileMeta(repo, commit, entry["path"], Blob(etag, size), xet_hash_of(entry))


def _is_masked(entry: Entry) -> bool:
    return str((entry.get("lfs") or entry).get("oid", "")).startswith("*")


def _sibling(entry: Entry) -> Entry:
    sibling = {"rfilename": entry["path"], "blobId": entry.get("oid"), "size": entry.get("size")}
    lfs = entry.get("lfs")
    if lfs:
        sibling["lfs"] = {
            "sha256": lfs["oid"],
            "size": lfs.get("size"),
            "pointerSize": lfs.get("pointerSize"),
        }
    return sibling
