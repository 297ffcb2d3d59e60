"""Names that git gives to content: blobs, trees, commits; and the pointers of git-lfs.

Real ones: what the fake Hub lists is what ``git hash-object`` would say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

DIRECTORY_MODE = "40000"
FILE_MODE = "100644"


def blob_id(data: bytes) -> str:
    """The git sha1 of a file."""
    return object_id("blob", data)


def tree_id(rows: Iterable[tuple[str, str, str]]) -> str:
    """The git sha1 of a directory, from (mode, name, id) of what is in it."""
    return object_id("tree", tree_body(rows))


def tree_body(rows: Iterable[tuple[str, str, str]]) -> bytes:
    """What git stores of a directory."""

    def order(row: tuple[str, str, str]) -> bytes:
        mode, name, _ = row
        return name.encode() + (b"/" if mode == DIRECTORY_MODE else b"")

    return b"".join(
        f"{mode} {name}".encode() + b"\0" + bytes.fromhex(sha) for mode, name, sha in sorted(rows, key=order)
    )


def commit_id(tree: str, parent: str | None, author: str, time_s: int, message: str) -> str:
    """The git sha1 of a commit; *author* is written as author and committer."""
    return object_id("commit", commit_body(tree, parent, author, time_s, message))


def commit_body(tree: str, parent: str | None, author: str, time_s: int, message: str) -> bytes:
    """What git stores of a commit."""
    lines = [f"tree {tree}"]
    if parent:
        lines.append(f"parent {parent}")
    lines += [f"{role} {author} {time_s} +0000" for role in ("author", "committer")]
    return ("\n".join(lines) + f"\n\n{message}\n").encode()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The text that stands in git for a file of git-lfs."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def lfs_attributes(*patterns: str) -> bytes:
    """A .gitattributes that hands the files of *patterns* to git-lfs, as the Hub's own does."""
    return "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in patterns).encode()


def object_id(kind: str, body: bytes) -> str:
    """The git sha1 of any object; *kind* is "blob", "tree" or "commit"."""
    return hashlib.sha1(f"{kind} {len(body)}".encode() + b"\0" + body, usedforsecurity=False).hexdigest()
