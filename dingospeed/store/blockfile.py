"""A blob while it is being filled: its bytes in place, and behind them a HEADER (header.py).

Sealing is a rename and a truncation, and leaves the plain content.

Bytes count in three steps. "Reached" says how far a fill has come in the block it is
writing, so that readers follow byte by byte. The "written" bit is set once a block is whole
in the page cache, which outlives a killed process but not the machine; the "durable" bit
once it is on the disk. After another boot only "durable" is believed. What once counted is
never written again: a reader may have sent it, and the hash must be of what was sent.

Several processes have the file open. Each byte of a bitmap and each "reached" has one
writer, the holder of that segment's lease (a segment is 8·k blocks), so no lock is needed.
The bitmaps are read with pread, not mapped: a mapped page that another process truncates
away would kill the reader with SIGBUS, while pread just comes back short, which means
"sealed". And nobody writes behind the content of a file that may be sealed: what is written
there says that a block is missing, or is what makes the last one count.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from dingospeed import native
from dingospeed.errors import BadBlockFile, StoreError
from dingospeed.model import Blob, Span
from dingospeed.store.header import BOOT_BYTES, REACHED_BYTES, Geometry, State, read_header
from dingospeed.store.places import holding, set_aside
from dingospeed.store.space import full_disk_is_ours
from dingospeed.store.use import share_named

# Bytes of bitmap looked at in one read; 4096 blocks.
_SCAN_BYTES = 512
# A position and, to tell a write caught half-way, the same with all its bits turned.
_REACHED = struct.Struct("<QQ")
_TURNED = (1 << 64) - 1


class BlockFile:
    """One open half-filled blob. Safe to use from any number of processes and threads."""

    def __init__(self, path: Path, blob: Blob, geometry: Geometry, fd: int) -> None:
        self.path = path
        self.blob = blob
        self.fd = fd
        self.block_bytes = geometry.block_bytes
        self.segment_bytes = geometry.block_bytes * geometry.segment_blocks
        self._geometry = geometry
        # Blocks at the beginning known to be held: nobody takes them away while the file is open.
        self._prefix = 0

    @classmethod
    def open(cls, path: Path, blob: Blob, *, boot_id: bytes) -> BlockFile:
        """Open an existing file of this *blob*.

        Raises FileNotFoundError, and BadBlockFile when the HEADER does not belong to it; it is
        set aside then.
        """
        fd = os.open(path, os.O_RDWR)
        try:
            if not share_named(fd, path):
                raise FileNotFoundError(path)
            try:
                geometry, _, written_in = read_header(fd, path, blob)
            except BadBlockFile as error:
                set_aside(path, fd, str(error))
                raise
            file = cls(path, blob, geometry, fd)
            if written_in != boot_id:
                file._forget_what_was_not_durable(boot_id)
            return file
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def create(cls, path: Path, blob: Blob, *, block_bytes: int, segment_blocks: int, boot_id: bytes) -> None:
        """Make an empty file, unless there is one. It appears whole or not at all.

        Raises StoreFull.
        """
        geometry = Geometry(blob.size, block_bytes, segment_blocks)
        # Not the process id alone: two threads of one process may race here as well.
        beside = path.with_name(f"{path.name}.{os.getpid()}-{time.monotonic_ns()}.new")
        with full_disk_is_ours():
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
            try:
                # With all its zeros, so that on a full disk there is still room for every bit.
                _write_all(fd, geometry.pack(blob, boot_id), geometry.header)
                os.link(beside, path)
            except FileExistsError:
                pass
            finally:
                os.close(fd)
                beside.unlink()

    # --- what is held -----------------------------------------------------------

    @property
    def state(self) -> State:
        """Read from the disk each time: another process may have decided."""
        byte = os.pread(self.fd, 1, self._geometry.state)
        return State(byte[0]) if byte else State.SEALED

    def held_until(self, start: int, stop: int | None = None) -> int:
        """Where the run of held bytes that begins at *start* ends; *start* itself when missing.

        Looks hardly further than *stop*. Blocks half written are missing.
        """
        first = start // self.block_bytes
        last = self._geometry.blocks if stop is None else self._blocks_until(stop)
        end = self._run(max(first, self._prefix), last, held=True)
        if end < last and self.state is State.SEALED:
            return self.blob.size
        if first <= self._prefix < end:
            self._prefix = end
        return max(start, min(end * self.block_bytes, self.blob.size)) if end > first else start

    def available(self, start: int, stop: int | None = None) -> int:
        """Where the run of bytes that can be read from *start* on ends; *start* when there is none.

        As `held_until`, and the written part of the next block besides.
        """
        held = self.held_until(start, stop)
        if held >= self.blob.size:
            return held
        reached = self._reached(held // self.segment_bytes)
        is_next = (reached - 1) // self.block_bytes == held // self.block_bytes
        return max(held, reached) if is_next else held

    def holes(self, span: Span) -> Iterator[Span]:
        """The missing parts of *span*, in order, widened to whole blocks.

        Empty when all is held. Looks at the disk each time: another process may be writing.
        """
        position = span.start - span.start % self.block_bytes if len(span) else span.stop
        while position < span.stop:
            position = self.held_until(position, span.stop)
            if position >= span.stop:
                return
            end = self._run(position // self.block_bytes, self._blocks_until(span.stop), held=False)
            stop = min(end * self.block_bytes, self.blob.size)
            if self.state is State.SEALED:
                return
            if stop > position:
                yield Span(position, stop)
                position = stop

    def begun(self, segment: int) -> Span | None:
        """What a block lacks that a fill of *segment* left half-way, None when there is none."""
        reached = self._reached(segment)
        if reached % self.block_bytes == 0 or self.held_until(reached, reached + 1) > reached:
            return None
        block = reached // self.block_bytes
        return Span(reached, min((block + 1) * self.block_bytes, self.blob.size))

    def progress(self, segment: int) -> bytes:
        """Something that differs whenever a fill of *segment* got on."""
        bits = self._geometry.segment_blocks // 8
        at = self._geometry.written + segment * bits
        reached = os.pread(self.fd, REACHED_BYTES, self._geometry.reached + segment * REACHED_BYTES)
        return os.pread(self.fd, bits, at) + reached

    def held_bytes(self) -> int:
        """How much of the content is here; blocks half written do not count."""
        bits = os.pread(self.fd, self._geometry.bitmap_bytes, self._geometry.written)
        if self.state is State.SEALED:
            return self.blob.size
        held = int.from_bytes(bits, "little").bit_count() * self.block_bytes
        last = self._geometry.blocks - 1
        if last >= 0 and bits[last // 8] >> (last % 8) & 1:
            held -= self._geometry.blocks * self.block_bytes - self.blob.size
        return held

    @property
    def is_complete(self) -> bool:
        return self.held_until(0) >= self.blob.size

    def _blocks_until(self, stop: int) -> int:
        return min(-(-stop // self.block_bytes), self._geometry.blocks)

    def _run(self, block: int, last: int, *, held: bool) -> int:
        """Where the run of held, or else missing, blocks that begins with *block* ends; at most *last*.

        For a moment a HEADER being cut off reads as zeros: after "missing" look at the state.
        """
        while block < last:
            index, shift = divmod(block, 8)
            count = min(_SCAN_BYTES, -(-last // 8) - index)
            chunk = os.pread(self.fd, count, self._geometry.written + index)
            if not chunk:
                return last if held else block  # The HEADER is gone: sealed.
            bits = int.from_bytes(chunk, "little") >> shift
            known = len(chunk) * 8 - shift
            other = ~bits if held else bits | 1 << known
            run = (other & -other).bit_length() - 1
            block += run
            if run < known:
                break
        return min(block, last)

    def _reached(self, segment: int) -> int:
        """Where the fill of *segment* is in the block it is writing; 0 when nowhere."""
        raw = os.pread(self.fd, _REACHED.size, self._geometry.reached + segment * REACHED_BYTES)
        if len(raw) < _REACHED.size:
            return 0
        position, turned = _REACHED.unpack(raw)
        return int(position) if position ^ turned == _TURNED else 0

    # --- filling: only for the holder of the segment's lease ----------------------

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Put bytes in place; they count once `mark` says so. Raises StoreFull."""
        if offset + len(data) > self.blob.size:
            raise StoreError(f"write past the end of {self.path.name}")
        with full_disk_is_ours():
            _write_all(self.fd, data, offset)

    def mark(self, span: Span) -> None:
        """Let the bytes of *span* count: each whole block, and the beginning of the last one.

        Raises StoreFull.
        """
        first = -(-span.start // self.block_bytes)
        stop = span.stop // self.block_bytes if span.stop < self.blob.size else self._geometry.blocks
        with full_disk_is_ours():
            if first < stop:
                self._set_bits(first, stop)
            if stop * self.block_bytes < span.stop < self.blob.size and first <= stop:
                at = self._geometry.reached + span.stop // self.segment_bytes * REACHED_BYTES
                _write_all(self.fd, _REACHED.pack(span.stop, span.stop ^ _TURNED), at)

    def _set_bits(self, first: int, stop: int) -> None:
        low, high = first // 8, (stop - 1) // 8 + 1
        at = self._geometry.written + low
        old = os.pread(self.fd, high - low, at)
        if len(old) < high - low:
            return  # Sealed by now: nothing left to mark.
        new = int.from_bytes(old, "little") | ((1 << (stop - first)) - 1) << (first - low * 8)
        _write_all(self.fd, new.to_bytes(high - low, "little"), at)

    # --- only for the one who verifies the blob, under its lease ---------------------

    def sync(self) -> None:
        """Bring what is written to the disk and call it durable. Blocks: not for the hub.

        Raises StoreFull.
        """
        written = os.pread(self.fd, self._geometry.bitmap_bytes, self._geometry.written)
        with full_disk_is_ours():
            os.fdatasync(self.fd)
            if len(written) == self._geometry.bitmap_bytes:
                _write_all(self.fd, written, self._geometry.durable)

    def seal(self, target: Path) -> None:
        """Turn into the plain content at *target*. The hash must have been checked.

        The bytes are on the disk before the name says so. Raises StoreFull.
        """
        with full_disk_is_ours():
            native.run(os.fdatasync, self.fd)
        with holding(self.path, self.fd) as is_there, full_disk_is_ours():
            # Gone: thrown out of the cache meanwhile. Its readers still have the right bytes.
            if is_there:
                self.path.rename(target)
            os.ftruncate(self.fd, self.blob.size)
        os.utime(self.fd)  # Arrival is the mtime, and this is the moment.

    def reject(self) -> None:
        """Throw the content away; whoever still reads it sees the state. Raises StoreFull."""
        with holding(self.path, self.fd) as is_there, full_disk_is_ours():
            if os.fstat(self.fd).st_size == self._geometry.file_bytes:
                _write_all(self.fd, bytes([State.REJECTED]), self._geometry.state)
            if is_there:
                self.path.unlink()

    def _forget_what_was_not_durable(self, boot_id: bytes) -> None:
        geometry = self._geometry
        with holding(self.path, self.fd) as is_there, full_disk_is_ours():
            if not is_there:  # Another process began, and has finished: look again.
                raise FileNotFoundError(self.path)
            if os.pread(self.fd, BOOT_BYTES, geometry.boot) == boot_id:
                return
            durable = os.pread(self.fd, geometry.bitmap_bytes, geometry.durable)
            _write_all(self.fd, durable, geometry.written)
            _write_all(self.fd, bytes(geometry.reached_bytes), geometry.reached)
            _write_all(self.fd, boot_id, geometry.boot)

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


def finish_sealing(fd: int, path: Path, blob: Blob) -> None:
    """Cut off the HEADER of a blob whose sealing was interrupted after the rename.

    What bears the name was checked and on the disk before, whatever the HEADER says: of that
    a power cut may have left an older page. Raises BadBlockFile when it is something else.
    """
    if os.fstat(fd).st_size == blob.size:
        return
    try:
        _, state, _ = read_header(fd, path, blob)
    except BadBlockFile:
        if os.fstat(fd).st_size == blob.size:
            return  # Finished by another in between.
        raise
    if state is not State.FILLING:
        raise BadBlockFile(f"{path.name}: rejected content under the name of a sealed blob")
    os.ftruncate(fd, blob.size)


def _write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done
