"""Content and the hash that names it: sha256 for files of git-lfs, git's own sha1 for the others."""

from __future__ import annotations

import hashlib
import os

from dingospeed.model import Blob

_READ_BYTES = 1 << 20


def content_hash(blob: Blob) -> hashlib._Hash:
    """A fresh hash of the kind that names *blob*: sha256, or git's sha1 with its prefix."""
    if blob.is_lfs:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % blob.size, usedforsecurity=False)


def hash_span(into: hashlib._Hash, fd: int, start: int, stop: int) -> None:
    """Add the bytes ``[start, stop)`` of *fd* to a hash. Blocks: for a native thread."""
    while start < stop:
        data = os.pread(fd, min(_READ_BYTES, stop - start), start)
        if not data:
            raise OSError(f"the file ended at {start}, before {stop}")
        into.update(data)
        start += len(data)


def is_content_of(etag: str, fd: int) -> bool:
    """Whether all that *fd* holds is what *etag* names. Blocks: for a native thread."""
    blob = Blob(etag, os.fstat(fd).st_size)
    hash = content_hash(blob)
    hash_span(hash, fd, 0, blob.size)
    return hash.hexdigest() == etag
