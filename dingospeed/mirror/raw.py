"""Files as git has them: what lies in git-lfs is shown by its pointer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from dingospeed.mirror.files import Files, OpenFile
from dingospeed.model import Blob, Caller, FileMeta, Piece, RepoRef, Span


class Raw:
    """Opens *files* for callers as git would."""

    def __init__(self, *, files: Files) -> None:
        self._files = files

    def open(self, repo: RepoRef, revision: str, path: str, caller: Caller) -> OpenFile:
        """As Files.open, but of an LFS file the pointer, under the git sha1 that trees call its `oid`."""
        opened = self._files.open(repo, revision, path, caller)
        meta = opened.meta
        if not meta.blob.is_lfs:
            return opened
        text = pointer(meta.blob)
        sha1 = hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()

        def read(span: Span) -> Iterator[Piece]:
            yield text[span.start : span.stop]

        # Made here, it is no blob of the store.
        made = FileMeta(repo, meta.commit, path, Blob(sha1, len(text)))
        return OpenFile(made, "HIT", True, read, lambda span: False)


def pointer(blob: Blob) -> bytes:
    """What git holds in place of an LFS file (git-lfs: docs/spec.md, "The Pointer")."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{blob.etag}\nsize {blob.size}\n".encode()
