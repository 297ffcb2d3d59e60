"""What a file consists of: plain bytes, or bytes made up while they are read.

A payload is read in pieces, so that a file of gigabytes costs neither memory nor a copy.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

PIECE_BYTES = 256 * 1024

# A prime: bytes read from a place that is wrong by a round number never look right.
PERIOD_BYTES = 1_048_583
STAMP_BYTES = 16


class Payload(Protocol):
    """The bytes of a file, *size* of them."""

    @property
    def size(self) -> int: ...

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        """The span, in order, in pieces of a size that is good to send."""
        ...

    def sha256(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Plain:
    """Bytes held in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        view = memoryview(self.data)
        for at in range(start, stop, PIECE_BYTES):
            yield view[at : min(at + PIECE_BYTES, stop)]

    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Generated:
    """A made-up file of *size* bytes: the same for the same *seed*, another for another.

    One stretch of random bytes over and over, each begun by a stamp with its number.
    """

    size: int
    seed: int = 0

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        stretch = _stretch(self.seed)
        at, stop = start, min(stop, self.size)
        while at < stop:
            number, within = divmod(at, PERIOD_BYTES)
            source = _stamp(self.seed, number) if within < STAMP_BYTES else stretch
            piece = source[within : within + min(stop - at, PIECE_BYTES)]
            at += len(piece)
            yield piece

    def sha256(self) -> str:
        return _sha256_of_generated(self.size, self.seed)

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces(0, self.size))


@lru_cache(maxsize=16)
def _stretch(seed: int) -> memoryview:
    return memoryview(random.Random(seed).randbytes(PERIOD_BYTES))


def _stamp(seed: int, number: int) -> memoryview:
    return memoryview(hashlib.blake2b(b"%d %d" % (seed, number), digest_size=STAMP_BYTES).digest())


@lru_cache(maxsize=256)
def _sha256_of_generated(size: int, seed: int) -> str:
    digest = hashlib.sha256()
    for piece in Generated(size, seed).pieces(0, size):
        digest.update(piece)
    return digest.hexdigest()
