"""A blob while it is being filled: its bytes in place, and behind them a HEADER.

    [0, size)            content, each byte at its own offset; holes are sparse
    H = size rounded up to a page
    H                    HEADER, 128 bytes: magic, version, state, block size, size, etag, boot id
    H + 128              bitmap "written", one bit per block, least significant first
    …                    bitmap "durable", the same shape
    last 16 bytes        locator: magic and H

The file describes itself: a changed block size in the configuration never touches an
existing file. Sealing is a rename and a truncation, and leaves the plain content.

Two bitmaps, because there are two kinds of crash. A "written" bit is set once the bytes
are in the page cache, which outlives a killed process but not the machine. A "durable"
bit is set once they are on the disk. After another boot only "durable" is believed.

Several processes have the file open. Each byte of a bitmap has one writer, the holder
of that segment's lease (a segment is 8·k blocks), so no lock is needed. The bitmaps are
read with pread, not mapped: a mapped page that another process truncates away would
kill the reader with SIGBUS, while pread just comes back short, which means "sealed".
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from types import TracebackType

from dingospeed.errors import BadBlockFile, StoreError, StoreFull
from dingospeed.model import Blob, Span

PAGE = 4096
_HEADER = struct.Struct("<8sHBxIQ64s16s")
_HEADER_BYTES = 128
_LOCATOR = struct.Struct("<8sQ")
_MAGIC = b"DINGOBLK"
_LOCATOR_MAGIC = b"DINGOLOC"
_VERSION = 1
_STATE_OFFSET = 10
_BOOT_OFFSET = _HEADER.size - 16
# Bytes of bitmap looked at in one read; 4096 blocks.
_SCAN_BYTES = 512
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class State(IntEnum):
    FILLING = 0
    SEALED = 1
    REJECTED = 2


class BlockFile:
    """One open half-filled blob. Safe to use from any number of processes and threads."""

    def __init__(self, path: Path, blob: Blob, block_bytes: int, fd: int) -> None:
        self.path = path
        self.blob = blob
        self.block_bytes = block_bytes
        self.fd = fd
        self._geometry = _Geometry(blob.size, block_bytes)

    @classmethod
    def open(cls, path: Path, blob: Blob, *, boot_id: bytes) -> BlockFile:
        """Open an existing file of this *blob*.

        Raises FileNotFoundError, and BadBlockFile when the HEADER does not belong to it.
        """
        fd = os.open(path, os.O_RDWR)
        try:
            block_bytes, state, written_in = _read_header(fd, path, blob)
            file = cls(path, blob, block_bytes, fd)
            if written_in != boot_id and state is State.FILLING:
                file._forget_what_was_not_durable(boot_id)
            return file
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def create(cls, path: Path, blob: Blob, *, block_bytes: int, boot_id: bytes) -> None:
        """Make an empty file, unless there is one. It appears whole or not at all.

        Raises StoreFull.
        """
        geometry = _Geometry(blob.size, block_bytes)
        path.parent.mkdir(exist_ok=True)
        # Not the process id alone: two threads of one process may race here as well.
        beside = path.with_name(f"{path.name}.{os.getpid()}-{time.monotonic_ns()}.new")
        fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            with _full_disk_is_ours():
                os.ftruncate(fd, geometry.file_bytes)
                header = _HEADER.pack(
                    _MAGIC, _VERSION, State.FILLING, block_bytes, blob.size, blob.etag.encode(), boot_id
                )
                _write_all(fd, header, geometry.header)
                _write_all(fd, _LOCATOR.pack(_LOCATOR_MAGIC, geometry.header), geometry.locator)
                os.link(beside, path)
        except FileExistsError:
            pass
        finally:
            os.close(fd)
            os.unlink(beside)

    # --- what is held -----------------------------------------------------------

    @property
    def state(self) -> State:
        """Read from the disk each time: another process may have decided."""
        byte = os.pread(self.fd, 1, self._geometry.header + _STATE_OFFSET)
        return State(byte[0]) if byte else State.SEALED

    def held_until(self, start: int) -> int:
        """Where the run of held bytes that begins at *start* ends; *start* itself when missing."""
        first = start // self.block_bytes
        end = first
        while end < self._geometry.blocks:
            index, shift = divmod(end, 8)
            chunk = os.pread(
                self.fd,
                min(_SCAN_BYTES, self._geometry.bitmap_bytes - index),
                self._geometry.written + index,
            )
            if not chunk:
                return self.blob.size  # The HEADER is gone: sealed.
            bits = int.from_bytes(chunk, "little") >> shift
            run = ((~bits) & (bits + 1)).bit_length() - 1
            end += run
            if run < len(chunk) * 8 - shift:
                break
        return max(start, min(end * self.block_bytes, self.blob.size)) if end > first else start

    def holes(self, span: Span) -> Iterator[Span]:
        """The missing parts of *span*, in order, widened to whole blocks.

        Empty when all is held. Looks at the disk each time: another process may be writing.
        """
        position = span.start - span.start % self.block_bytes
        while position < span.stop:
            held = self.held_until(position)
            if held > position:
                position = held
                continue
            stop = position
            while stop < span.stop and self.held_until(stop) == stop:
                stop = min(stop + self.block_bytes, self.blob.size)
            yield Span(position, stop)
            position = stop

    def held_bytes(self) -> int:
        """How much of the content is here; blocks half written do not count."""
        bits = os.pread(self.fd, self._geometry.bitmap_bytes, self._geometry.written)
        if len(bits) < self._geometry.bitmap_bytes:
            return self.blob.size
        held = int.from_bytes(bits, "little").bit_count() * self.block_bytes
        last = self._geometry.blocks - 1
        if last >= 0 and bits[last // 8] >> (last % 8) & 1:
            held -= self._geometry.blocks * self.block_bytes - self.blob.size
        return held

    @property
    def is_complete(self) -> bool:
        return self.held_until(0) >= self.blob.size

    # --- filling: only for the holder of the segment's lease ----------------------

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Put bytes in place; they count once `mark` says so. Raises StoreFull."""
        if offset + len(data) > self.blob.size:
            raise StoreError(f"write past the end of {self.path.name}")
        with _full_disk_is_ours():
            _write_all(self.fd, data, offset)

    def mark(self, span: Span) -> None:
        """Set the "written" bit of every block that lies wholly in *span*."""

        first = -(-span.start // self.block_bytes)
        stop = span.stop // self.block_bytes if span.stop < self.blob.size else self._geometry.blocks
        if first >= stop:
            return
        low, high = first // 8, (stop - 1) // 8 + 1
        at = self._geometry.written + low
        old = os.pread(self.fd, high - low, at)
        if len(old) < high - low:
            return  # Sealed by now: nothing left to mark.
        new = int.from_bytes(old, "little") | ((1 << (stop - first)) - 1) << (first - low * 8)
        _write_all(self.fd, new.to_bytes(high - low, "little"), at)

    # --- only for the one who verifies the blob, under its lease ---------------------

    def sync(self) -> None:
        """Bring what is written to the disk and call it durable. Blocks: not for the hub."""
        written = os.pread(self.fd, self._geometry.bitmap_bytes, self._geometry.written)
        os.fdatasync(self.fd)
        if len(written) == self._geometry.bitmap_bytes:
            _write_all(self.fd, written, self._geometry.durable)

    def seal(self, target: Path) -> None:
        """Turn into the plain content at *target*. The hash must have been checked. Blocks."""
        os.fdatasync(self.fd)
        self._set_state(State.SEALED)
        os.rename(self.path, target)
        os.ftruncate(self.fd, self.blob.size)
        os.utime(target)  # Arrival is the mtime, and this is the moment.

    def reject(self) -> None:
        """Throw the content away; whoever still reads it sees the state."""
        self._set_state(State.REJECTED)
        self.path.unlink(missing_ok=True)

    def _set_state(self, state: State) -> None:
        os.pwrite(self.fd, bytes([state]), self._geometry.header + _STATE_OFFSET)

    def _forget_what_was_not_durable(self, boot_id: bytes) -> None:
        # Held for microseconds by whoever came first after the boot; the others look again.
        while not _try_lock(self.fd):
            time.sleep(0.005)
        try:
            at = self._geometry.header + _BOOT_OFFSET
            if os.pread(self.fd, 16, at) == boot_id:
                return
            durable = os.pread(self.fd, self._geometry.bitmap_bytes, self._geometry.durable)
            _write_all(self.fd, durable, self._geometry.written)
            _write_all(self.fd, boot_id, at)
        finally:
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> BlockFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<BlockFile {self.blob.etag[:12]} {self.held_bytes()}/{self.blob.size}>"


class _Geometry:
    """Where the parts of a block file lie."""

    def __init__(self, size: int, block_bytes: int) -> None:
        self.blocks = -(-size // block_bytes)
        self.bitmap_bytes = -(-self.blocks // 8)
        self.header = -(-size // PAGE) * PAGE
        self.written = self.header + _HEADER_BYTES
        self.durable = self.written + self.bitmap_bytes
        self.locator = self.durable + self.bitmap_bytes
        self.file_bytes = self.locator + _LOCATOR.size


def finish_sealing(path: Path, blob: Blob) -> bool:
    """Cut off the HEADER of a blob whose sealing was interrupted after the rename.

    False when the file is something else: its size is wrong and no HEADER explains it.
    """
    fd = os.open(path, os.O_RDWR)
    try:
        if os.fstat(fd).st_size == blob.size:
            return True
        _, state, _ = _read_header(fd, path, blob)
        if state is State.SEALED:
            os.ftruncate(fd, blob.size)
        return state is State.SEALED
    except BadBlockFile:
        return os.fstat(fd).st_size == blob.size
    finally:
        os.close(fd)


def _read_header(fd: int, path: Path, blob: Blob) -> tuple[int, State, bytes]:
    """Block size, state and boot id. Raises BadBlockFile, saying what was expected and found."""

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
    magic, version, state, block_bytes, size, etag, boot_id = _HEADER.unpack(raw)
    for what, expected, found in (
        ("magic", _MAGIC, magic),
        ("version", _VERSION, version),
        ("size", blob.size, size),
        ("etag", blob.etag, etag.rstrip(b"\0").decode("ascii", "replace")),
        ("block size is a power of two", True, block_bytes >= PAGE and block_bytes & block_bytes - 1 == 0),
    ):
        if expected != found:
            raise bad(what, expected, found)
    if state not in State.__members__.values():
        raise bad("state", "0, 1 or 2", state)
    geometry = _Geometry(size, block_bytes)
    if (geometry.header, geometry.file_bytes) != (at, file_bytes):
        raise bad("length", geometry.file_bytes, file_bytes)
    return block_bytes, State(state), boot_id


def _write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _full_disk_is_ours:
    """Turns the system's words for "no space" into StoreFull."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise StoreFull(f"no space for the cache: {os.strerror(error.errno)}") from error
