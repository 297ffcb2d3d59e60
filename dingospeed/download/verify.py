"""Content checked against its name before it counts as complete.

The hash runs along the completed prefix in a native thread while the fill goes on, so
that sealing needs no second pass. One verifier per blob among all processes, by lease;
one that dies is followed by another, which starts from the beginning.
"""

from __future__ import annotations

import logging
import threading
import time

from dingospeed import native
from dingospeed.download.filling import Filling, Fillings
from dingospeed.errors import ContentMismatch, DingospeedError, StoreError, StoreFull
from dingospeed.flight.leases import Lease, Leases
from dingospeed.metrics import Metrics
from dingospeed.store.blobs import Blobs
from dingospeed.store.blockfile import BlockFile
from dingospeed.store.content import hash_span
from dingospeed.store.header import State

log = logging.getLogger(__name__)

_STEP_BYTES = 8 << 20
_LARGE_BYTES = 64 << 20
# How often what was written is brought to the disk: what a power cut can cost.
_SYNC_EVERY_S = 10
_WAIT_S = 0.05
# How long a verifier stays after the last reader left: to many clients a file is a row of
# short reads, and each new verifier would have to hash all that is held once more.
_LINGER_S = 60


class Verifier:
    """Hashes blobs as they fill; seals the right ones and throws the wrong ones away."""

    def __init__(
        self,
        *,
        blobs: Blobs,
        fillings: Fillings,
        leases: Leases,
        metrics: Metrics,
        linger_s: float = _LINGER_S,
    ) -> None:
        self._blobs = blobs
        self._fillings = fillings
        self._leases = leases
        self._metrics = metrics
        self._linger_s = linger_s

    def ensure(self, filling: Filling) -> None:
        """See to it that *filling* is being verified, here or in another process."""
        if not filling.claim_verifying():
            return
        lease: Lease | None = None
        try:
            lease = self._leases.try_acquire(f"verify-{filling.blob.etag}")
        except StoreError as error:
            log.warning("blob %s not verified for now: %s", filling.blob.etag[:12], error)
        if lease is None:
            filling.end_verifying(elsewhere=True)
            return
        self._fillings.join(filling)
        threading.Thread(target=self._verify, args=(filling, lease), name="verify", daemon=True).start()

    def _verify(self, filling: Filling, lease: Lease) -> None:
        failure: DingospeedError | None = None
        try:
            with lease:
                failure = self._follow(filling)
        except Exception as error:
            failure = StoreError(f"content of {filling.blob.etag} could not be checked: {error}")
            log.exception("blob %s could not be checked", filling.blob.etag)
        finally:
            # Dropped first: who fails comes again, and is to find a filling of its own.
            if failure is not None or filling.file.state is not State.FILLING:
                self._fillings.drop(filling)
            filling.end_verifying(failure)
            self._fillings.leave(filling)

    def _follow(self, filling: Filling) -> ContentMismatch | None:
        """Hash as far as the content is held, again and again; decide at its end, if that comes."""
        file, size = filling.file, filling.blob.size
        hash, hashed = filling.hashed[0].copy(), filling.hashed[1]
        syncs = _Syncs(file)
        left_at: float | None = None
        spent_s = 0.0
        while file.state is State.FILLING:
            seen = filling.version
            held = min(file.held_until(hashed, hashed + _STEP_BYTES), hashed + _STEP_BYTES)
            if held > hashed:
                began = time.monotonic()
                native.run(hash_span, hash, file.fd, hashed, held)
                spent_s += time.monotonic() - began
                filling.hashed, hashed, left_at = (hash.copy(), held), held, None
            elif hashed == size:
                self._metrics.verify_seconds.observe(spent_s)
                return self._decide(filling, hash.hexdigest())
            elif filling.readers or filling.fills:
                left_at = None
                filling.wait(seen, _WAIT_S)
            else:
                left_at = left_at or time.monotonic()
                if time.monotonic() >= left_at + self._linger_s:
                    native.run(file.sync)
                    return None
                filling.wait(seen, _WAIT_S)
            syncs.do_if_due()
        return None

    def _decide(self, filling: Filling, found: str) -> ContentMismatch | None:
        blob = filling.blob
        if found == blob.etag:
            # To bring a large file to the disk may take longer than all the rest, and clients need not
            # wait for it. Of a smaller one is said that it is here for good once they have it.
            if blob.size > _LARGE_BYTES:
                filling.call_right()
            self._blobs.seal(filling.file)
            self._metrics.sealed_blobs.inc()
            log.info("blob %s sealed, %d bytes", blob.etag, blob.size)
            return None
        times = self._blobs.reject(filling.file)
        self._metrics.content_mismatches.inc()
        log.error(
            "blob %s rejected for the %d. time: its content hashes to %s; nothing was kept",
            blob.etag,
            times,
            found,
        )
        return ContentMismatch(blob.etag, found)


class _Syncs:
    """Brings what is written to the disk, now and then."""

    def __init__(self, file: BlockFile) -> None:
        self._file = file
        self._synced = 0
        self._due = time.monotonic() + _SYNC_EVERY_S

    def do_if_due(self) -> None:
        if time.monotonic() < self._due:
            return
        held = self._file.held_bytes()
        if self._synced < held < self._file.blob.size:  # The end is synced by sealing.
            try:
                native.run(self._file.sync)
            except StoreFull as error:
                log.warning("blob %s not brought to the disk: %s", self._file.blob.etag[:12], error)
            self._synced = held
        self._due = time.monotonic() + _SYNC_EVERY_S
