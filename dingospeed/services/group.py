"""This node's part in a group, and what it does for it now and then; None for a node of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dingospeed.cluster.choice import Peer
from dingospeed.download.reader import Reader
from dingospeed.services.ground import Ground
from dingospeed.store.inventory import Inventory
from dingospeed.upkeep.groupjobs import GroupJobs
from dingospeed.upkeep.jobs import JobStore
from dingospeed.upkeep.replicas import Replicas

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

# How often it is looked whether copies are missing, in heartbeats.
_REPAIR_BEATS = 5
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


def group_jobs_of(ground: Ground, group: Group | None, jobs: JobStore) -> GroupJobs | None:
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
    ground.timetable.every(_TEND_EVERY_S, "jobs of the group", group_jobs.tend)
    return group_jobs


def keep_copies(ground: Ground, group: Group | None, reader: Reader) -> None:
    """Have the copies made that this node is to have, and those of nodes that are lost."""
    cluster = ground.settings.cluster
    if group is None or cluster.replicas == 1:
        return
    replicas = Replicas(
        copies=group.copies,
        neighbours=group.neighbours,
        peers=group.peers,
        reader=reader,
        count=cluster.replicas,
        disk=ground.layout.root,
    )
    ground.timetable.every(cluster.heartbeat_s * _REPAIR_BEATS, "replicas", replicas.repair)
