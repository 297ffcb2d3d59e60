"""Copies of what is pinned or hot, made on this node where it is one of those that keep them."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

from dingospeed.cluster.copies import Copies, missing
from dingospeed.download.reader import Reader
from dingospeed.errors import DingospeedError, LinkDown
from dingospeed.model import Blob, Piece
from dingospeed.sources.neighbours import Neighbours
from dingospeed.sources.peers import Peers
from dingospeed.store.usage import disk_of

log = logging.getLogger(__name__)

# What a copy leaves free of the disk, as a share of it: copies are for others, and the disk is not.
_LEFT_FREE = 0.1


class Replicas:
    """Sees to it that *count* nodes hold what *copies* tells of; *disk* is where this one's would lie."""

    def __init__(
        self,
        *,
        copies: Copies,
        neighbours: Neighbours,
        peers: Peers,
        reader: Reader,
        count: int,
        disk: Path,
    ) -> None:
        self._copies = copies
        self._neighbours = neighbours
        self._peers = peers
        self._reader = reader
        self._count = count
        self._disk = disk

    def repair(self) -> None:
        """Make the copies that this node is to have and has not; a chore, again after each loss of a node."""
        try:
            due = self._due()
        except LinkDown as error:
            log.debug("no copies made: %s", error)
            return
        for blob in due:
            if self._copies.is_stopped:
                return
            self._copy(blob)

    def _due(self) -> list[Blob]:
        wanted = self._copies.wanted()
        me = self._neighbours.me()
        nodes = [me, *self._neighbours.peers()]
        held = self._copies.holders([blob.etag for blob in wanted])
        return [
            blob
            for blob, holders in zip(wanted, held, strict=True)
            if me.id in missing(blob.etag, peers=nodes, holders=holders, copies=self._count)
        ]

    def _copy(self, blob: Blob) -> None:
        disk = disk_of(self._disk)
        if disk.free_bytes - blob.size < _LEFT_FREE * disk.size_bytes:
            log.warning("no copy of %s made: the disk is too full", blob.etag[:12])
            return
        try:
            with closing(self._reader.read(blob, blob.whole, self._peers.copies_of(blob))) as pieces:
                size = sum(map(_length, pieces))
        except (DingospeedError, OSError) as error:
            log.warning("no copy of %s made: %s", blob.etag[:12], error)
            return
        log.info("copy of %s made, %d bytes", blob.etag[:12], size)


def _length(piece: Piece) -> int:
    return len(piece)
