"""What stands behind the content of a half-filled blob, and where.

    [0, size)            content, each byte at its own offset; holes are sparse
    H = size rounded up to a page
    H                    HEADER, 128 bytes: magic, version, state, sizes, etag, boot id
    H + 128              "reached", 16 bytes for each segment
    …                    bitmap "written", one bit for each block, least significant first
    …                    bitmap "durable", the same shape
    last 16 bytes        locator: magic and H

The file describes itself: changed sizes in the configuration never touch an existing file.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum
from pathlib import Path

from dingospeed.errors import BadBlockFile
from dingospeed.model import Blob

PAGE = 4096
_HEADER = struct.Struct("<8sHBxIIQ64s16s")
_HEADER_BYTES = 128
_LOCATOR = struct.Struct("<8sQ")
_MAGIC = b"DINGOBLK"
_LOCATOR_MAGIC = b"DINGOLOC"
_VERSION = 1
_STATE_OFFSET = 10
_BOOT_OFFSET = _HEADER.size - 16
BOOT_BYTES = 16
REACHED_BYTES = 16


class State(IntEnum):
    """SEALED is never written: it is what a HEADER says that is gone, or that the system is just
    zeroing in order to cut it off."""

    SEALED = 0
    FILLING = 1
    REJECTED = 2


class Geometry:
    """Offsets and lengths of the parts, in bytes."""

    def __init__(self, size: int, block_bytes: int, segment_blocks: int) -> None:
        self.size = size
        self.block_bytes = block_bytes
        self.segment_blocks = segment_blocks
        self.blocks = -(-size // block_bytes)
        self.bitmap_bytes = -(-self.blocks // 8)
        self.header = -(-size // PAGE) * PAGE
        self.state = self.header + _STATE_OFFSET
        self.boot = self.header + _BOOT_OFFSET
        self.reached = self.header + _HEADER_BYTES
        self.reached_bytes = -(-self.blocks // segment_blocks) * REACHED_BYTES
        self.written = self.reached + self.reached_bytes
        self.durable = self.written + self.bitmap_bytes
        self.locator = self.durable + self.bitmap_bytes
        self.file_bytes = self.locator + _LOCATOR.size

    def pack(self, blob: Blob, boot_id: bytes) -> bytes:
        """All that stands from the HEADER to the end in a file that holds nothing yet."""
        header = _HEADER.pack(
            _MAGIC,
            _VERSION,
            State.FILLING,
            self.block_bytes,
            self.segment_blocks,
            self.size,
            blob.etag.encode(),
            boot_id,
        )
        return header.ljust(self.locator - self.header, b"\0") + _LOCATOR.pack(_LOCATOR_MAGIC, self.header)


def blob_of(fd: int, path: Path) -> Blob:
    """The blob that an open file says it is. Raises BadBlockFile when it says nothing of the kind."""
    file_bytes = os.fstat(fd).st_size
    tail = os.pread(fd, _LOCATOR.size, max(0, file_bytes - _LOCATOR.size))
    at = _LOCATOR.unpack(tail)[1] if tail.startswith(_LOCATOR_MAGIC) and len(tail) == _LOCATOR.size else -1
    raw = os.pread(fd, _HEADER.size, at) if 0 <= at < file_bytes else b""
    if len(raw) < _HEADER.size or not raw.startswith(_MAGIC):
        raise BadBlockFile(f"{path.name}: no header of a block file")
    *_, size, etag, _ = _HEADER.unpack(raw)
    try:
        return Blob(etag.rstrip(b"\0").decode("ascii", "replace"), size)
    except ValueError as error:
        raise BadBlockFile(f"{path.name}: {error}") from error


def read_header(fd: int, path: Path, blob: Blob) -> tuple[Geometry, State, bytes]:
    """Sizes, state and boot id of an open file. Raises BadBlockFile, saying what was expected and found."""

    def bad(what: str, expected: object, found: object) -> BadBlockFile:
        return BadBlockFile(f"{path.name}: {what}: expected {expected!r}, found {found!r}")

    file_bytes = os.fstat(fd).st_size
    tail = os.pread(fd, _LOCATOR.size, max(0, file_bytes - _LOCATOR.size))
    if len(tail) < _LOCATOR.size or not tail.startswith(_LOCATOR_MAGIC):
        raise bad("locator", _LOCATOR_MAGIC, tail[:8])
    at = _LOCATOR.unpack(tail)[1]
    raw = os.pread(fd, _HEADER.size, at) if at < file_bytes else b""
    if len(raw) < _HEADER.size:
        raise bad("header at", f"< {file_bytes}", at)
    magic, version, state, block_bytes, segment_blocks, size, etag, boot_id = _HEADER.unpack(raw)
    for what, expected, found in (
        ("magic", _MAGIC, magic),
        ("version", _VERSION, version),
        ("size", blob.size, size),
        ("etag", blob.etag, etag.rstrip(b"\0").decode("ascii", "replace")),
        ("block size is a power of two", True, block_bytes >= PAGE and block_bytes & block_bytes - 1 == 0),
        ("segment is whole bytes of bitmap", True, segment_blocks > 0 and segment_blocks % 8 == 0),
    ):
        if expected != found:
            raise bad(what, expected, found)
    if state not in (State.FILLING, State.REJECTED):
        raise bad("state", "1 or 2", state)
    geometry = Geometry(size, block_bytes, segment_blocks)
    if (geometry.header, geometry.file_bytes) != (at, file_bytes):
        raise bad("length", geometry.file_bytes, file_bytes)
    return geometry, State(state), boot_id
