"""How a node comes into its group, as the settings have it. Imported by nodes in a group only."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial

from dingospeed import __version__
from dingospeed.cluster.choice import Peer
from dingospeed.cluster.copies import Copies
from dingospeed.cluster.holdings import Holdings
from dingospeed.cluster.link import Link
from dingospeed.cluster.registry import Member, Registry
from dingospeed.cluster.sharedjobs import SharedJobs
from dingospeed.cluster.signing import Signer
from dingospeed.cluster.traffic import Traffic
from dingospeed.download.filling import Fillings
from dingospeed.errors import StoreError
from dingospeed.flight.leases import Lease, Leases
from dingospeed.services.ground import Ground
from dingospeed.services.group import Group
from dingospeed.sources.neighbours import Neighbours
from dingospeed.sources.peers import Peers
from dingospeed.store.inventory import Inventory
from dingospeed.store.keys import own_mark
from dingospeed.store.nonces import Nonces
from dingospeed.store.usage import disk_of
from dingospeed.upkeep.announcing import Announcing
from dingospeed.upstream.client import Client
from dingospeed.upstream.health import Health
from dingospeed.upstream.lines import Line, Lines

_LEASE = "cluster"
# A node that fails once is left alone until a probe finds it alive.
_FAILURES_TO_DOWN, _PROBE_S, _PROBE_MAX_S = 1, 0.5, 5.0
_CONNECTIONS = 256
# How often all holdings are repeated within their lifetime.
_REPEATS = 3


def join(ground: Ground, lines: Lines, fillings: Fillings) -> Group:
    """The group that the settings name, with its secret; nothing is sent before it is started."""
    settings, blobs = ground.settings, ground.blobs
    cluster, cell_bytes = settings.cluster, settings.download.segment_bytes
    if cluster.redis_url is None or cluster.secret is None:
        raise ValueError("a node without cluster.redis_url and cluster.secret is in no group")
    secret = cluster.secret.get_secret_value()
    link = Link(cluster.redis_url.get_secret_value(), timeout_s=cluster.redis_s)
    registry = Registry(
        link=link,
        group=cluster.group,
        id=cluster.id,
        cache=own_mark(ground.layout.key("node")),
        # The one circle: the registry tells how much is announced, by the announcing made below.
        describe=lambda started_at: _described(ground, lines, announcing, started_at),
        take_right=partial(_take_right, ground.leases),
        heartbeat_s=cluster.heartbeat_s,
    )

    def now_s() -> float | None:
        return registry.now_s

    holdings = Holdings(link=link, group=cluster.group, id=cluster.id, lifetime_s=cluster.holdings_s)
    inventory = Inventory(layout=ground.layout, blobs=blobs, cell_bytes=cell_bytes)
    announcing = Announcing(
        registry=registry,
        holdings=holdings,
        inventory=inventory,
        fillings=fillings,
        cell_bytes=cell_bytes,
        repeat_s=cluster.holdings_s / _REPEATS,
    )
    signer = Signer(secret=secret, id=cluster.id, now_s=now_s, is_new=Nonces(ground.layout.nonces).is_new)
    copies = Copies(
        link=link,
        group=cluster.group,
        id=cluster.id,
        alive=lambda: {member.id for member in registry.snapshot.members},
        now_s=now_s,
        hot_reads=cluster.hot_reads,
    )
    traffic = Traffic(link=link, group=cluster.group, id=cluster.id, now_s=now_s)
    neighbours = Neighbours(
        registry=registry,
        signer=signer,
        connect=partial(_line_to, ground),
        me=Peer(cluster.id, cluster.zone or "", cluster.weight, not settings.upstream.offline),
        cell_bytes=cell_bytes,
    )
    peers = Peers(
        neighbours=neighbours,
        holdings=holdings,
        rejections=blobs.rejections,
        metrics=ground.metrics,
        on_received=traffic.received,
    )
    return Group(
        registry=registry,
        holdings=holdings,
        announcing=announcing,
        signer=signer,
        copies=copies,
        traffic=traffic,
        shared_jobs=SharedJobs(link=link, group=cluster.group, id=cluster.id, secret=secret),
        neighbours=neighbours,
        peers=peers,
        inventory=inventory,
    )


def _described(ground: Ground, lines: Lines, announcing: Announcing, started_at: float) -> Member:
    """This node as the others are to see it now."""
    cluster, disk = ground.settings.cluster, disk_of(ground.layout.root)
    return Member(
        id=cluster.id,
        address=cluster.address or "",
        zone=cluster.zone or "",
        weight=cluster.weight,
        is_online=any(line["state"] != "down" for line in lines.snapshot()),
        cell_bytes=ground.settings.download.segment_bytes,
        version=__version__,
        started_at=started_at,
        load=os.getloadavg()[0] / (os.cpu_count() or 1),
        disk_free=disk.free_bytes,
        disk_total=disk.size_bytes,
        blobs=announcing.blobs,
        blob_bytes=announcing.blob_bytes,
    )


def _take_right(leases: Leases) -> Lease | None:
    """The right to speak for the node; None while another of its workers has it."""
    with suppress(StoreError):
        return leases.try_acquire(_LEASE)
    return None


def _line_to(ground: Ground, member: Member) -> Line:
    """The way to another node."""
    settings = ground.settings
    client = Client(
        name=f"node {member.id}",
        base_url=member.address,
        is_hub=False,
        max_connections=ground.share_of(_CONNECTIONS),
        connect_s=settings.cluster.connect_s,
        read_s=settings.cluster.read_s,
        ca_bundle=str(settings.upstream.ca_bundle) if settings.upstream.ca_bundle else None,
    )
    health = Health(
        failures_to_down=_FAILURES_TO_DOWN,
        probe_s=_PROBE_S,
        probe_max_s=_PROBE_MAX_S,
        clock=time.monotonic,
    )
    return Line(client.name, client, health, is_hub=False)
