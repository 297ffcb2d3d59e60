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

from dingospeed.errors import BadBlockFile
from dingospeed.model import Blob
from dingospeed.store.blockfile import BlockFile, State, finish_sealing
from dingospeed.store.layout import Layout

log = logging.getLogger(__name__)

_TOUCH_EVERY_S = 60
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Blobs:
    """Opens and creates the blob files under one *layout*."""

    def __init__(self, *, layout: Layout, block_bytes: int, boot_id: bytes | None = None) -> None:
        self._layout = layout
        self._block_bytes = block_bytes
        self._boot_id = boot_id or this_boot()

    def open_sealed(self, blob: Blob) -> int | None:
        """A read-only descriptor of the whole content, None when it is not sealed here.

        Keeps the blob's last use, at most once a minute.
        """
        path = self._layout.sealed(blob.etag)
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        status = os.fstat(fd)
        if status.st_size != blob.size and not finish_sealing(path, blob):
            os.close(fd)
            self._set_aside(path, f"it has {status.st_size} bytes instead of {blob.size}")
            return None
        if time.time() - status.st_atime > _TOUCH_EVERY_S:
            # Set by hand: the file systems of servers are mounted noatime. A cache we may
            # only read from (another user's files) is still served.
            try:
                os.utime(fd, ns=(time.time_ns(), status.st_mtime_ns))
            except PermissionError:
                log.debug("last use of %s can not be kept", path.name)
        return fd

    def is_sealed(self, blob: Blob) -> bool:
        return self._layout.sealed(blob.etag).exists()

    def open_partial(self, blob: Blob, *, create: bool) -> BlockFile | None:
        """The half-filled file of *blob*, made if need be.

        None when there is none and *create* is False, or when the blob was sealed in between.
        Raises StoreFull.
        """
        path = self._layout.partial(blob.etag)
        for _ in range(3):
            try:
                file = BlockFile.open(path, blob, boot_id=self._boot_id)
            except FileNotFoundError:
                if self.is_sealed(blob) or not create:
                    return None
                BlockFile.create(path, blob, block_bytes=self._block_bytes, boot_id=self._boot_id)
                continue
            except BadBlockFile as error:
                self._set_aside(path, str(error))
                continue
            if file.state is State.FILLING:
                return file
            # Whoever decided was killed before the last step: do it for them.
            if file.state is State.SEALED:
                file.seal(self._layout.sealed(blob.etag))
            else:
                file.reject()
            file.close()
        return None

    def seal(self, file: BlockFile) -> None:
        """Make the checked content of *file* the blob. Blocks: not for the hub."""
        file.seal(self._layout.sealed(file.blob.etag))

    def held_bytes(self, blob: Blob) -> int:
        """How much of the content is here, half-written blocks not counted."""
        if self.is_sealed(blob):
            return blob.size
        file = self.open_partial(blob, create=False)
        if file is None:
            return blob.size if self.is_sealed(blob) else 0
        with file:
            return file.held_bytes()

    def reject(self, file: BlockFile) -> int:
        """Throw away content whose hash is wrong; how often that happened since the last start."""
        file.reject()
        return self.count_rejection(file.blob)

    def count_rejection(self, blob: Blob) -> int:
        """Remember that *blob* came wrong, for every worker: next time another line is asked first."""
        rejections = self.rejections(blob) + 1
        try:
            self._layout.lease(_rejections_key(blob)).write_text(str(rejections))
        except OSError as error:
            log.warning("rejection of %s can not be remembered: %s", blob.etag, error)
        return rejections

    def rejections(self, blob: Blob) -> int:
        """How often content of *blob* came with a wrong hash since the last start."""
        try:
            return int(self._layout.lease(_rejections_key(blob)).read_text() or 0)
        except FileNotFoundError:
            return 0

    def _set_aside(self, path: Path, why: str) -> None:
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return  # Another process was quicker.
        log.error("blob %s set aside as %s: %s", path.name, aside.name, why)


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
