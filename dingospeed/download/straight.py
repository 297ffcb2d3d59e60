"""No space in the cache: the bytes go from the source to the client, checked on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing

from dingospeed import native
from dingospeed.download.fetch import exactly
from dingospeed.download.filling import Filling, Source
from dingospeed.errors import ContentMismatch
from dingospeed.model import Blob, Span
from dingospeed.store.content import content_hash, hash_span

# The end of a file, or of a large part of one, that does not leave before the hash is right.
HELD_BACK_BYTES = 1 << 20
# The most that is hashed before the first byte leaves: some seconds' worth.
_HASH_FIRST_BYTES = 4 << 30


def straight_through(blob: Blob, span: Span, source: Source, filling: Filling | None) -> Iterator[bytes]:
    """The bytes of *span* from *source*; nothing of them is kept.

    Checked when they are the end of the file and what comes before is held in *filling*,
    or is nothing. Raises ContentMismatch instead of the last bytes, and what the source raises.
    """
    hash = _hash_before(blob, span, filling)
    with closing(exactly(source, span)) as pieces:
        if hash is None:
            yield from pieces
            return
        position, tail = span.start, bytearray()
        open_until = max(span.start, blob.size - HELD_BACK_BYTES)
        for piece in pieces:
            hash.update(piece)
            free = max(0, min(len(piece), open_until - position))
            position += len(piece)
            if free:
                yield piece[:free]
            tail += piece[free:]
    if hash.hexdigest() != blob.etag:
        raise ContentMismatch(blob.etag, hash.hexdigest())
    if tail:
        yield bytes(tail)


def _hash_before(blob: Blob, span: Span, filling: Filling | None) -> hashlib._Hash | None:
    """A hash of the content before *span*; None when it can not be had, or would be of no use."""
    if span.stop < blob.size:
        return None
    if span.start == 0:
        return content_hash(blob)
    if filling is None or filling.file.available(0, span.start) < span.start:
        return None
    hash, hashed = filling.hashed
    if not 0 <= span.start - hashed <= _HASH_FIRST_BYTES:
        return None
    hash = hash.copy()
    native.run(hash_span, hash, filling.file.fd, hashed, span.start)
    return hash
