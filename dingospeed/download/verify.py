"""Content checked against its name before it counts as complete.

The hash runs along the completed prefix in a native thread while the fill goes on, so
that sealing needs no second pass. One verifier per blob among all processes, by lease;
one that dies is followed by another, which starts from the beginning.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading

from dingospeed import native
from dingospeed.download.filling import Filling, Fillings
from dingospeed.flight.leases import Leases
from dingospeed.metrics import Metrics
from dingospeed.store.blobs import Blobs
from dingospeed.store.blockfile import State

log = logging.getLogger(__name__)

_STEP_BYTES = 8 << 20
_READ_BYTES = 1 << 20
# How much may be written before it is brought to the disk: what a power cut can cost.
_SYNC_BYTES = 256 << 20
_WAIT_S = 0.25


class Verifier:
    """Hashes blobs as they fill; seals the right ones and throws the wrong ones away."""

    def __init__(self, *, blobs: Blobs, fillings: Fillings, leases: Leases, metrics: Metrics) -> None:
        self._blobs = blobs
        self._fillings = fillings
        self._leases = leases
        self._metrics = metrics

    def ensure(self, filling: Filling) -> None:
        """See to it that *filling* is being verified, here or in another process."""
        with filling.changed:
            if filling.is_verifying:
                return
            filling.is_verifying = True
        lease = self._leases.try_acquire(f"verify-{filling.blob.etag}")
        if lease is None:
            filling.is_verifying = False
            return
        self._fillings.join(filling)

        def verify() -> None:
            try:
                with lease:
                    self._follow(filling)
            finally:
                filling.is_verifying = False
                self._fillings.leave(filling)

        threading.Thread(target=verify, name="verify", daemon=True).start()

    def _follow(self, filling: Filling) -> None:
        file, synced = filling.file, 0
        while file.state is State.FILLING:
            seen = filling.version
            held = file.held_until(filling.hashed)
            if held > filling.hashed:
                stop = min(held, filling.hashed + _STEP_BYTES)
                native.run(hash_span, filling.hash, file.fd, filling.hashed, stop)
                filling.hashed = stop
            elif filling.hashed == filling.blob.size:
                self._decide(filling)
            elif filling.readers or filling.is_being_filled:
                filling.wait(seen, _WAIT_S)
            else:
                native.run(file.sync)
                return
            if filling.hashed - synced >= _SYNC_BYTES and filling.hashed < filling.blob.size:
                native.run(file.sync)
                synced = filling.hashed

    def _decide(self, filling: Filling) -> None:
        filling.found = filling.hash.hexdigest()
        if filling.found == filling.blob.etag:
            native.run(self._blobs.seal, filling.file)
            self._metrics.sealed_blobs.inc()
            log.info("blob %s sealed, %d bytes", filling.blob.etag, filling.blob.size)
        else:
            times = self._blobs.reject(filling.file)
            self._metrics.content_mismatches.inc()
            log.error(
                "blob %s rejected for the %d. time: its content hashes to %s; nothing was kept",
                filling.blob.etag,
                times,
                filling.found,
            )
        self._fillings.drop(filling)


def hash_span(into: hashlib._Hash, fd: int, start: int, stop: int) -> None:
    """Add the bytes ``[start, stop)`` of *fd* to a hash. Blocks: for a native thread."""
    while start < stop:
        data = os.pread(fd, min(_READ_BYTES, stop - start), start)
        if not data:
            raise OSError(f"the file ended at {start}, before {stop}")
        into.update(data)
        start += len(data)
