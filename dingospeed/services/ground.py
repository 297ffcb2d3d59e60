"""What every part of the mirror stands on: the settings, the disk, the clockwork, the figures."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from dingospeed.config import Settings
from dingospeed.flight.leases import Leases
from dingospeed.metrics import Metrics
from dingospeed.store.blobs import Blobs
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout
from dingospeed.upkeep.timetable import Timetable


@dataclass(frozen=True, slots=True)
class Ground:
    """Handed to whoever builds a part; the part itself is given only what it uses of it.

    *layout*, *documents* and *blobs* are the disk, *leases* the other processes of the node. Chores
    are put on the *timetable*, which begins after the fork. *metrics* stand in the *registry*.
    """

    settings: Settings
    registry: CollectorRegistry
    metrics: Metrics
    layout: Layout
    documents: Documents
    blobs: Blobs
    leases: Leases
    timetable: Timetable

    def share_of(self, most: int) -> int:
        """One worker's share of what the node may have at once."""
        return max(1, most // self.settings.server.workers)


def ground_of(settings: Settings) -> Ground:
    """Raises StoreError when the cache can not be used."""
    layout = Layout(settings.cache.repos)
    layout.prepare()
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    leases = Leases(path_of=layout.lease, observe=metrics.lease_wait_seconds.observe)
    return Ground(
        settings=settings,
        registry=registry,
        metrics=metrics,
        layout=layout,
        documents=Documents(memory_bytes=settings.metadata.memory_bytes),
        blobs=Blobs(layout=layout, block_bytes=settings.download.block_bytes),
        leases=leases,
        timetable=Timetable(leases=leases),
    )
