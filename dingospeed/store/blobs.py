"""The blobs of a cache: sealed ones to be read, half-filled ones to be filled.

Content is shared by etag: the same weights in two repos are stored once. A file that is
not what it should be is set aside under another name, never emptied and never trusted.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from pathlib import Path

from cachetools import LRUCache

from dingospeed import native
from dingospeed.errors import BadBlockFile, WrongSize
from dingospeed.model import Blob
from dingospeed.store.blockfile import BlockFile, finish_sealing
from dingospeed.store.content import is_content_of
from dingospeed.store.header import State, read_header
from dingospeed.store.layout import Layout
from dingospeed.store.places import set_aside
from dingospeed.store.use import share

log = logging.getLogger(__name__)

_TOUCH_EVERY_S = 60
_REMEMBER_S = 3600
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Other processes seal, reject and set aside between our looks; more often than this is a fault.
_LOOKS = 3
_PROVEN_KEPT = 1000


class Blobs:
    """Opens and creates the blob files under one *layout*."""

    def __init__(self, *, layout: Layout, block_bytes: int, boot_id: bytes | None = None) -> None:
        self._layout = layout
        self._block_bytes = block_bytes
        self._boot_id = boot_id or this_boot()
        # Files that were hashed because another size was told, and were right: inode and time.
        self._proven: LRUCache[str, tuple[int, int]] = LRUCache(_PROVEN_KEPT)

    def open_sealed(self, blob: Blob) -> int | None:
        """A read-only descriptor of the whole content, None when it is not sealed here.

        Keeps the blob's last use, at most once a minute. Raises WrongSize when what is held is right,
        and of another size than *blob*.
        """
        path = self._layout.sealed(blob.etag)
        for _ in range(_LOOKS):
            try:
                fd = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return None
            status = os.fstat(fd)
            if status.st_size == blob.size:
                # If it is being taken away just now: what is open stays ours to read.
                share(fd)
                _keep_last_use(fd, status)
                return fd
            os.close(fd)
            self._mend(path, blob)
        return None

    def keep_use(self, blob: Blob) -> bool:
        """Whether *blob* is sealed here. Keeps its last use, for who is going to read it without us."""
        fd = self.open_sealed(blob)
        if fd is None:
            return False
        os.close(fd)
        return True

    def is_sealed(self, blob: Blob) -> bool:
        return self._layout.sealed(blob.etag).exists()

    def open_partial(self, blob: Blob, *, segment_blocks: int | None = None) -> BlockFile | None:
        """The half-filled file of *blob*; made, with segments of so many blocks, if they are told.

        None when there is none and none is to be made, or when the blob was sealed in between.
        Raises StoreFull.
        """
        path = self._layout.partial(blob.etag)
        for _ in range(_LOOKS):
            try:
                file = BlockFile.open(path, blob, boot_id=self._boot_id)
            except FileNotFoundError:
                if segment_blocks is None or self.is_sealed(blob):
                    return None
                BlockFile.create(
                    path,
                    blob,
                    block_bytes=self._block_bytes,
                    segment_blocks=segment_blocks,
                    boot_id=self._boot_id,
                )
                continue
            except BadBlockFile:
                continue  # Set aside.
            if file.state is State.FILLING:
                return file
            with file:
                if file.state is State.REJECTED:
                    file.reject()  # Whoever decided was killed before the last step: do it for them.
        return None

    def seal(self, file: BlockFile) -> None:
        """Make the checked content of *file* the blob. Raises StoreFull."""
        file.seal(self._layout.sealed(file.blob.etag))

    def held_bytes(self, blob: Blob) -> int:
        """How much of the content is here, half-written blocks not counted."""
        if self.is_sealed(blob):
            return blob.size
        file = self.open_partial(blob)
        if file is None:
            return blob.size if self.is_sealed(blob) else 0
        with file:
            return file.held_bytes()

    def peek(self, blob: Blob) -> int:
        """As `held_bytes`; but nothing is mended, set aside or marked as used by it."""
        try:
            if self._layout.sealed(blob.etag).stat().st_size == blob.size:
                return blob.size
        except FileNotFoundError:
            pass
        path = self._layout.partial(blob.etag)
        try:
            with path.open("rb") as file:
                geometry, state, boot_id = read_header(file.fileno(), path, blob)
                known = geometry.written if boot_id == self._boot_id else geometry.durable
                bits = os.pread(file.fileno(), geometry.bitmap_bytes, known)
        except (FileNotFoundError, BadBlockFile):
            return 0
        blocks = int.from_bytes(bits, "little").bit_count() if state is State.FILLING else 0
        # Less one, as it is not complete before it is sealed.
        return max(0, min(blocks * geometry.block_bytes, blob.size - 1))

    def reject(self, file: BlockFile) -> int:
        """Throw away content whose hash is wrong; how often that happened lately."""
        # Counted first: whose connection is cut for it comes back at once, and must not resume.
        rejections = self.count_rejection(file.blob)
        file.reject()
        return rejections

    def count_rejection(self, blob: Blob) -> int:
        """Remember that *blob* came wrong, for every worker: next time another line is asked first."""
        rejections = self.rejections(blob) + 1
        try:
            # As long as the count, and all of it a hole: that works on a full disk, too.
            with self._layout.lease(_rejections_key(blob)).open("ab") as file:
                file.truncate(rejections)
        except OSError as error:
            log.warning("rejection of %s can not be remembered: %s", blob.etag, error)
        return rejections

    def rejections(self, blob: Blob) -> int:
        """How often content of *blob* came with a wrong hash, until an hour after the last time."""
        status = self._last_rejection(blob)
        return status.st_size if status is not None else 0

    def rejected_at(self, blob: Blob) -> float | None:
        """When that was the last time, in seconds since the epoch; None when it is not remembered."""
        status = self._last_rejection(blob)
        return status.st_mtime if status is not None else None

    def _last_rejection(self, blob: Blob) -> os.stat_result | None:
        try:
            status = self._layout.lease(_rejections_key(blob)).stat()
        except FileNotFoundError:
            return None
        # By then whoever got wrong bytes has given up, and a line that sent them has another chance.
        return status if time.time() - status.st_mtime < _REMEMBER_S else None

    def _mend(self, path: Path, blob: Blob) -> None:
        """Finish the sealing of *path*, or set it aside when it is something else. Raises WrongSize."""
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            finish_sealing(fd, path, blob)
        except BadBlockFile as error:
            # Is it the file that is wrong, or what was told of it?
            if self._is_proven(fd, blob.etag):
                raise WrongSize(blob.etag, told=blob.size, held=os.fstat(fd).st_size) from error
            set_aside(path, fd, str(error))
        finally:
            os.close(fd)

    def _is_proven(self, fd: int, etag: str) -> bool:
        status = os.fstat(fd)
        identity = (status.st_ino, status.st_mtime_ns)
        if self._proven.get(etag) == identity:
            return True
        if not native.run(is_content_of, etag, fd):
            return False
        self._proven[etag] = identity
        return True


def _keep_last_use(fd: int, status: os.stat_result) -> None:
    if time.time() - status.st_atime <= _TOUCH_EVERY_S:
        return
    # Set by hand: the file systems of servers are mounted noatime. A cache we may only
    # read from (another user's files, a read-only disk) is still served.
    try:
        os.utime(fd, ns=(time.time_ns(), status.st_mtime_ns))
    except OSError as error:
        log.debug("last use of a blob can not be kept: %s", error)


def _rejections_key(blob: Blob) -> str:
    return f"rejected-{blob.etag}"


def this_boot() -> bytes:
    """16 bytes that change with every start of the machine.

    Where the system does not tell, each call gives another: then nothing that is not on
    the disk for certain is believed after a restart.
    """
    try:
        return uuid.UUID(_BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError):
        return uuid.uuid4().bytes
