"""Plain content in the form in which clients of Xet fetch it, made up from positions alone.

A file is cut at fixed places into blocks, and each block is told of as a "xorb" of its own: chunks of
CHUNK_BYTES, stored as they are, each behind a header of eight bytes. Where everything lies
follows from the size of the file, so nothing is kept for it and nothing is copied. Positions in a
xorb, with its headers, are called packed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from dingospeed.download.straight import HELD_BACK_BYTES
from dingospeed.errors import StoreError
from dingospeed.model import Blob, FileSpan, Piece, Span

# Each of a client's connections fetches one at a time, and all of it again when it breaks off. As long
# as a segment is by default: of a cold file each then is one fill.
BLOCK_BYTES = 32 << 20
# The most that clients take.
CHUNK_BYTES = 128 << 10
HEADER_BYTES = 8
_PACKED_CHUNK_BYTES = HEADER_BYTES + CHUNK_BYTES
# Parts of a block begin and end at whole multiples of what a reader holds back for the sake of the hash:
# it holds nothing back of less, and the last part to arrive must never complete a wrong file.
_STEP_CHUNKS = HELD_BACK_BYTES // CHUNK_BYTES
# Clients may keep what they fetched by its name: another layout needs other names.
_LAYOUT = f"1 {BLOCK_BYTES} {CHUNK_BYTES}"


@dataclass(frozen=True, slots=True)
class Block:
    """The part *content* of a file as a xorb."""

    index: int
    content: Span

    @property
    def chunks(self) -> int:
        """How many there are."""
        return -(-len(self.content) // CHUNK_BYTES)

    @property
    def packed_bytes(self) -> int:
        return len(self.content) + HEADER_BYTES * self.chunks

    def packed(self, chunks: Span) -> Span:
        """Where *chunks*, by their indices, lie in the xorb."""
        start, stop = (
            min(index * _PACKED_CHUNK_BYTES, self.packed_bytes) for index in (chunks.start, chunks.stop)
        )
        return Span(start, stop)

    def content_of(self, packed: Span) -> Span:
        """The bytes of the file that lie within *packed*."""
        return Span(
            *(self.content.start + self._before(position) for position in (packed.start, packed.stop))
        )

    def _before(self, position: int) -> int:
        """How much content lies before a *position* in the xorb."""
        chunk, within = divmod(position, _PACKED_CHUNK_BYTES)
        return min(chunk * CHUNK_BYTES + max(0, within - HEADER_BYTES), len(self.content))


@dataclass(frozen=True, slots=True)
class Term:
    """Some *chunks* of a *block*, and the *content* they hold."""

    block: Block
    chunks: Span
    content: Span

    @property
    def packed(self) -> Span:
        return self.block.packed(self.chunks)


def block_of(size: int, index: int) -> Block | None:
    """The block of that *index* in a file of *size* bytes, None when there is none."""
    start = index * BLOCK_BYTES
    return Block(index, Span(start, min(start + BLOCK_BYTES, size))) if 0 <= start < size else None


def plan(size: int, span: Span) -> list[Term]:
    """What to fetch, in order, for *span* of a file of *size* bytes; a little more comes along."""
    return [_term(block, span) for index in span.cells(BLOCK_BYTES) if (block := block_of(size, index))]


def _term(block: Block, span: Span) -> Term:
    wanted = block.content.overlap(span)
    assert wanted is not None
    step_bytes, start = _STEP_CHUNKS * CHUNK_BYTES, block.content.start
    first = (wanted.start - start) // step_bytes * _STEP_CHUNKS
    last = min(-(-(wanted.stop - start) // step_bytes) * _STEP_CHUNKS, block.chunks)
    content = Span(start + first * CHUNK_BYTES, min(start + last * CHUNK_BYTES, block.content.stop))
    return Term(block, Span(first, last), content)


def name_of(blob: Blob, block: Block) -> str:
    """What a block is called: another for other content, another place and another layout."""
    return hashlib.sha256(f"{_LAYOUT} {blob.etag} {block.index}".encode()).hexdigest()


def pack(pieces: Generator[Piece, None, None], block: Block, packed: Span) -> Iterator[Piece]:
    """The span *packed* of the xorb, made of the *pieces* of `content_of` it, which are used up.

    Each piece is valid until the next. Raises StoreError when their lengths are not what was asked for.
    """
    with closing(pieces):
        coming = filter(len, pieces)
        position, piece = packed.start, next(coming, b"")
        while position < packed.stop:
            chunk, within = divmod(position, _PACKED_CHUNK_BYTES)
            if within < HEADER_BYTES:
                taken: Piece = _header(block, chunk)[within:][: packed.stop - position]
            else:
                piece = piece if len(piece) else next(coming, b"")
                taken, piece = _cut(piece, min((chunk + 1) * _PACKED_CHUNK_BYTES, packed.stop) - position)
                if not len(taken):
                    raise StoreError(f"the content of a xorb ended at {position} of {packed}")
            yield taken
            position += len(taken)
        # Asked to the end: a reader that is left before thinks that its client has gone.
        if len(piece) or next(coming, b""):
            raise StoreError(f"there is more content than fits in {packed} of a xorb")


def _header(block: Block, chunk: int) -> bytes:
    """What stands before a chunk: version 0, its length as stored, scheme 0 (as it is), its length."""
    length = min(CHUNK_BYTES, len(block.content) - chunk * CHUNK_BYTES).to_bytes(3, "little")
    return b"\0" + length + b"\0" + length


def _cut(piece: Piece, most: int) -> tuple[Piece, Piece]:
    """The first *most* bytes of *piece*, and the rest of it."""
    if isinstance(piece, bytes):
        return piece[:most], piece[most:]
    middle = min(piece.start + most, piece.stop)
    return FileSpan(piece.fd, piece.start, middle), FileSpan(piece.fd, middle, piece.stop)
