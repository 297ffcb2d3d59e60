"""This node's part in a group, as the settings have it; None for a node of its own."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dingospeed import __version__
from dingospeed.config import Settings
from dingospeed.errors import StoreError
from dingospeed.flight.leases import Lease, Leases
from dingospeed.metrics import Metrics
from dingospeed.store.layout import Layout
from dingospeed.store.usage import disk_of

if TYPE_CHECKING:
    from dingospeed.cluster.registry import Member, Registry

_LEASE = "cluster"


@dataclass(frozen=True, slots=True)
class Group:
    """What a node in a group has besides."""

    registry: Registry

    def start(self) -> None:
        """Join, after the fork."""
        self.registry.start()

    def stop(self) -> None:
        """Sign off."""
        self.registry.stop()

    def told(self) -> dict[str, Any]:
        """The group as this worker sees it, as plain values; nothing is asked for it."""
        seen = self.registry.snapshot
        alive = [
            {**asdict(member), "state": "online" if member.is_online else "offline"}
            for member in seen.members
        ]
        lost = [{"id": node.id, "heard_at": node.heard_at, "state": "lost"} for node in seen.lost]
        return {"id": self.registry.id, "is_current": self.registry.is_current, "nodes": alive + lost}


def group_of(settings: Settings, layout: Layout, leases: Leases, metrics: Metrics) -> Group | None:
    """None when there is no cluster.redis_url: then nothing of Redis is even imported."""
    cluster = settings.cluster
    if cluster.redis_url is None:
        return None
    from dingospeed.cluster.link import Link
    from dingospeed.cluster.registry import Member, Registry

    download = settings.download

    def describe(started_at: float) -> Member:
        disk = disk_of(layout.root)
        return Member(
            id=cluster.id,
            address=cluster.address or "",
            zone=cluster.zone or "",
            weight=cluster.weight,
            is_online=not settings.upstream.offline,
            cell_bytes=download.block_bytes * download.segment_blocks,
            version=__version__,
            started_at=started_at,
            load=os.getloadavg()[0] / (os.cpu_count() or 1),
            disk_free=disk.free_bytes,
            disk_total=disk.size_bytes,
        )

    def take_right() -> Lease | None:
        with suppress(StoreError):
            return leases.try_acquire(_LEASE)
        return None

    return Group(
        registry=Registry(
            link=Link(cluster.redis_url.get_secret_value(), timeout_s=cluster.redis_s),
            group=cluster.group,
            id=cluster.id,
            describe=describe,
            take_right=take_right,
            heartbeat_s=cluster.heartbeat_s,
        )
    )
