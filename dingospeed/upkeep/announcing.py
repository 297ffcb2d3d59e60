"""The group told what this node holds: what grows as it grows, and all of it now and then.

Each worker looks after the blobs that are being filled in it. The one that speaks for the node tells of the
whole cache when it joins, when Redis was emptied, and often enough for nothing to expire.
"""

from __future__ import annotations

import logging
import threading
import time

from dingospeed.cluster.holdings import WHOLE, Holding, Holdings
from dingospeed.cluster.registry import Registry
from dingospeed.download.filling import Fillings
from dingospeed.store.inventory import Held, Inventory

log = logging.getLogger(__name__)

_LOOK_S = 0.25
# More than this is not read from the disk before what was read is told.
_UNTOLD = 2000
_PAUSE_S = 0.02


class Announcing:
    """Keeps *holdings* true. *repeat_s*: how often all is told again."""

    def __init__(
        self,
        *,
        registry: Registry,
        holdings: Holdings,
        inventory: Inventory,
        fillings: Fillings,
        cell_bytes: int,
        repeat_s: float,
    ) -> None:
        self.blobs = 0
        self.blob_bytes = 0
        self._registry = registry
        self._holdings = holdings
        self._inventory = inventory
        self._fillings = fillings
        self._cell_bytes = cell_bytes
        self._repeat_s = repeat_s
        self._watched: dict[str, Holding | None] = {}
        # Opened since the last look; a small one may be complete and closed by then.
        self._opened: set[str] = set()
        fillings.when_opened(self._opened.add)
        self._epoch = ""
        self._due = 0.0
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin, after the fork. Called once."""
        threading.Thread(target=self._run, name="announce", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def look(self) -> None:
        """Tell what changed of the blobs that are, or were a moment ago, being filled here."""
        opened = {self._opened.pop() for _ in range(len(self._opened))}
        open_now = self._fillings.etags()
        for etag in open_now | opened | self._watched.keys():
            held = self._held(self._inventory.held(etag))
            if held != self._watched.get(etag):
                self._holdings.note(etag, held)
            if etag in open_now:
                self._watched[etag] = held
            else:
                self._watched.pop(etag, None)

    def tell_all(self) -> None:
        """Tell of the whole cache, as fast as it is taken."""
        blobs = blob_bytes = 0
        for folder in self._inventory.all():
            for found in folder:
                self._holdings.note(found.blob.etag, self._held(found))
                blobs += 1
                blob_bytes += found.blob.size if found.cells is None else 0
            while self._holdings.untold > _UNTOLD and not self._stopped.wait(_PAUSE_S):
                continue
            if self._stopped.is_set():
                return
        self.blobs, self.blob_bytes = blobs, blob_bytes
        log.info("the group is told of %d blobs", blobs)

    def _held(self, found: Held | None) -> Holding | None:
        if found is None:
            return None
        return WHOLE if found.cells is None else Holding(self._cell_bytes, found.cells)

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            try:
                self.look()
                if self._is_due():
                    self.tell_all()
            except Exception:
                # The thread's top: what was not told now is told the next time.
                log.exception("the group could not be told what is held here")

    def _is_due(self) -> bool:
        epoch = self._registry.snapshot.epoch
        if not epoch:
            self._epoch = ""  # Whoever comes into the group, or comes back, tells all.
            return False
        has_forgotten = self._holdings.has_forgotten()
        if not (has_forgotten or self._registry.is_beating):
            return False
        if not has_forgotten and epoch == self._epoch and time.monotonic() < self._due:
            return False
        self._epoch, self._due = epoch, time.monotonic() + self._repeat_s
        return True
