"""This node's part in a group, as the settings have it; None for a node of its own."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dingospeed import __version__
from dingospeed.cluster.choice import Peer
from dingospeed.config import Settings
from dingospeed.download.filling import Fillings
from dingospeed.download.reader import Reader
from dingospeed.errors import StoreError
from dingospeed.flight.leases import Lease, Leases
from dingospeed.metrics import Metrics
from dingospeed.mirror.hearsay import Hearsay
from dingospeed.mirror.lending import Lending
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.rules import RepoRules
from dingospeed.mirror.telling import Telling
from dingospeed.mirror.trees import Trees
from dingospeed.services.downloads import share_of
from dingospeed.sources.answers import Answers
from dingospeed.sources.chain import Chain
from dingospeed.store.blobs import Blobs
from dingospeed.store.documents import Documents
from dingospeed.store.inventory import Inventory
from dingospeed.store.layout import Layout
from dingospeed.store.nonces import Nonces
from dingospeed.store.usage import disk_of
from dingospeed.upkeep.groupjobs import GroupJobs
from dingospeed.upkeep.jobs import JobStore
from dingospeed.upkeep.replicas import Replicas
from dingospeed.upkeep.timetable import Timetable
from dingospeed.upstream.client import Client
from dingospeed.upstream.health import Health
from dingospeed.upstream.lines import Line, Lines

if TYPE_CHECKING:
    from dingospeed.cluster.copies import Copies
    from dingospeed.cluster.holdings import Holdings
    from dingospeed.cluster.registry import Member, Registry
    from dingospeed.cluster.sharedjobs import SharedJobs
    from dingospeed.cluster.signing import Signer
    from dingospeed.cluster.traffic import Traffic
    from dingospeed.sources.neighbours import Neighbours
    from dingospeed.sources.peers import Peers
    from dingospeed.upkeep.announcing import Announcing

_LEASE = "cluster"
# A node that fails once is left alone until a probe finds it alive.
_FAILURES_TO_DOWN, _PROBE_S, _PROBE_MAX_S = 1, 0.5, 5.0
_CONNECTIONS = 256
# How often it is looked whether copies are missing, in heartbeats.
_REPAIR_BEATS = 5
# How often all holdings are repeated within their lifetime.
_REPEATS = 3
# How often shares of the group's jobs are looked after, and told of.
_TEND_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """What a node in a group has besides."""

    registry: Registry
    holdings: Holdings
    announcing: Announcing
    signer: Signer
    copies: Copies
    traffic: Traffic
    shared_jobs: SharedJobs
    neighbours: Neighbours
    peers: Peers
    inventory: Inventory
    cell_bytes: int
    metrics: Metrics

    def start(self) -> None:
        """Join, after the fork."""
        self.registry.start()
        self.holdings.start()
        self.announcing.start()
        self.copies.start()
        self.traffic.start()

    def stop(self) -> None:
        """Sign off."""
        self.announcing.stop()
        self.copies.stop()
        self.traffic.stop()
        self.holdings.stop()
        self.registry.stop()

    def told(self) -> dict[str, Any]:
        """The group as this worker sees it, as plain values; nothing is asked for it."""
        seen = self.registry.snapshot
        alive = [{**asdict(member), **self._state(member)} for member in seen.members]
        lost = [{"id": node.id, "heard_at": node.heard_at, "state": "lost"} for node in seen.lost]
        return {
            "id": self.registry.id,
            "is_current": self.registry.is_current,
            "trouble": self.registry.trouble,
            "nodes": alive + lost,
            # In the hour that is running and the one before.
            "traffic": [
                {"from": sender, "to": receiver, "bytes": count}
                for (sender, receiver), count in self.traffic.between.items()
            ],
        }

    def _state(self, member: Member) -> dict[str, Any]:
        neighbour = self.neighbours.get(member.id)
        return {
            "state": "online" if member.is_online else "offline",
            "is_reachable": neighbour is None or neighbour.is_up,
            "bytes_per_s": 0.0 if neighbour is None else neighbour.rate,
        }


@dataclass(frozen=True, slots=True)
class Lent:
    """What other nodes are given: bytes, and answers of the Hub."""

    lending: Lending
    telling: Telling


@dataclass(frozen=True, slots=True)
class Parts:
    """What the rest of the mirror has for its group."""

    layout: Layout
    leases: Leases
    blobs: Blobs
    fillings: Fillings
    lines: Lines
    metrics: Metrics


def group_of(settings: Settings, parts: Parts) -> Group | None:
    """None when there is no cluster.redis_url: then nothing of Redis is even imported."""
    cluster = settings.cluster
    if cluster.redis_url is None or cluster.secret is None:
        return None
    from dingospeed.cluster.copies import Copies
    from dingospeed.cluster.holdings import Holdings
    from dingospeed.cluster.link import Link
    from dingospeed.cluster.registry import Member, Registry
    from dingospeed.cluster.sharedjobs import SharedJobs
    from dingospeed.cluster.signing import Signer
    from dingospeed.cluster.traffic import Traffic
    from dingospeed.sources.neighbours import Neighbours
    from dingospeed.sources.peers import Peers
    from dingospeed.upkeep.announcing import Announcing

    layout = parts.layout
    cell_bytes = settings.download.block_bytes * settings.download.segment_blocks

    def describe(started_at: float) -> Member:
        disk = disk_of(layout.root)
        return Member(
            id=cluster.id,
            address=cluster.address or "",
            zone=cluster.zone or "",
            weight=cluster.weight,
            is_online=any(line["state"] != "down" for line in parts.lines.snapshot()),
            cell_bytes=cell_bytes,
            version=__version__,
            started_at=started_at,
            load=os.getloadavg()[0] / (os.cpu_count() or 1),
            disk_free=disk.free_bytes,
            disk_total=disk.size_bytes,
            blobs=announcing.blobs,
            blob_bytes=announcing.blob_bytes,
        )

    def take_right() -> Lease | None:
        with suppress(StoreError):
            return parts.leases.try_acquire(_LEASE)
        return None

    def connect(member: Member) -> Line:
        client = Client(
            name=f"node {member.id}",
            base_url=member.address,
            is_hub=False,
            max_connections=share_of(_CONNECTIONS, settings),
            connect_s=cluster.connect_s,
            read_s=cluster.read_s,
            ca_bundle=str(settings.upstream.ca_bundle) if settings.upstream.ca_bundle else None,
        )
        health = Health(
            failures_to_down=_FAILURES_TO_DOWN,
            probe_s=_PROBE_S,
            probe_max_s=_PROBE_MAX_S,
            clock=time.monotonic,
        )
        return Line(client.name, client, health, is_hub=False)

    link = Link(cluster.redis_url.get_secret_value(), timeout_s=cluster.redis_s)
    registry = Registry(
        link=link,
        group=cluster.group,
        id=cluster.id,
        describe=describe,
        take_right=take_right,
        heartbeat_s=cluster.heartbeat_s,
    )
    holdings = Holdings(link=link, group=cluster.group, id=cluster.id, lifetime_s=cluster.holdings_s)
    inventory = Inventory(layout=layout, blobs=parts.blobs, cell_bytes=cell_bytes)
    announcing = Announcing(
        registry=registry,
        holdings=holdings,
        inventory=inventory,
        fillings=parts.fillings,
        cell_bytes=cell_bytes,
        repeat_s=cluster.holdings_s / _REPEATS,
    )
    signer = Signer(
        secret=cluster.secret.get_secret_value(),
        id=cluster.id,
        now_s=lambda: registry.now_s,
        is_new=Nonces(layout.nonces).is_new,
    )
    copies = Copies(
        link=link,
        group=cluster.group,
        id=cluster.id,
        alive=lambda: {member.id for member in registry.snapshot.members},
        now_s=lambda: registry.now_s,
        hot_reads=cluster.hot_reads,
    )
    traffic = Traffic(link=link, group=cluster.group, id=cluster.id, now_s=lambda: registry.now_s)
    neighbours = Neighbours(
        registry=registry,
        signer=signer,
        connect=connect,
        me=Peer(cluster.id, cluster.zone or "", cluster.weight, not settings.upstream.offline),
        cell_bytes=cell_bytes,
    )
    peers = Peers(
        neighbours=neighbours,
        holdings=holdings,
        rejections=parts.blobs.rejections,
        metrics=parts.metrics,
        on_received=traffic.received,
    )
    return Group(
        registry=registry,
        holdings=holdings,
        announcing=announcing,
        signer=signer,
        copies=copies,
        traffic=traffic,
        shared_jobs=SharedJobs(
            link=link, group=cluster.group, id=cluster.id, secret=cluster.secret.get_secret_value()
        ),
        neighbours=neighbours,
        peers=peers,
        inventory=inventory,
        cell_bytes=cell_bytes,
        metrics=parts.metrics,
    )


def group_jobs_of(group: Group | None, jobs: JobStore, timetable: Timetable) -> GroupJobs | None:
    """The group's jobs, tended as long as this worker does the upkeep; None in no group."""
    if group is None:
        return None
    registry = group.registry
    group_jobs = GroupJobs(
        shared=group.shared_jobs,
        shares=jobs,
        id=registry.id,
        alive=lambda: [Peer(member.id, weight=member.weight) for member in registry.snapshot.members],
        is_current=lambda: registry.is_current,
    )
    timetable.every(_TEND_EVERY_S, "jobs of the group", group_jobs.tend)
    return group_jobs


def hearsay_of(group: Group | None, documents: Documents, layout: Layout) -> Hearsay | None:
    """What is heard from other nodes instead of being asked outside; None in no group."""
    if group is None:
        return None
    return Hearsay(answers=Answers(neighbours=group.neighbours), documents=documents, layout=layout)


def keep_copies(
    settings: Settings, group: Group | None, reader: Reader, layout: Layout, timetable: Timetable
) -> None:
    """Have the copies made that this node is to have, and those of nodes that are lost."""
    if group is None or settings.cluster.replicas == 1:
        return
    replicas = Replicas(
        copies=group.copies,
        neighbours=group.neighbours,
        peers=group.peers,
        reader=reader,
        count=settings.cluster.replicas,
        disk=layout.root,
    )
    timetable.every(settings.cluster.heartbeat_s * _REPAIR_BEATS, "replicas", replicas.repair)


def lent_of(
    group: Group | None, *, reader: Reader, chain: Chain, rules: RepoRules, metadata: Metadata, trees: Trees
) -> Lent | None:
    """All that is for other nodes, none of which asks others again; None in no group."""
    if group is None:
        return None
    lending = Lending(
        reader=reader,
        chain=chain,
        rules=rules,
        inventory=group.inventory,
        holdings=group.holdings,
        cell_bytes=group.cell_bytes,
        is_asking=group.peers.is_asking,
    )
    return Lent(lending=lending, telling=Telling(metadata=metadata, trees=trees, rules=rules))
