"""A group of very many nodes, in time and by the choosing functions of a real one, without a byte.

What a node knows of the others is as old as it would be: heartbeats, announcements and the end of those
who die are seen late. Nodes come and go, most of them with their caches. As a program it draws the chart
of docs/cluster.md:

    python -m tests.cluster.simulation --nodes 1000 --requests 100000 --chart docs/cluster.png
"""

import argparse
import heapq
import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from dingospeed.cluster.choice import Part, Peer, plan

# Seconds, as a node has them by default.
HEARTBEAT_S = 2.0
LOST_AFTER_S = 6.0
ANNOUNCED_AFTER_S = 0.75
SILENCE_S = 5.0
LEFT_ALONE_S = 5.0
# A cell from outside and from a peer.
OUTSIDE_S = 8.0
PEER_S = 0.5


@dataclass(frozen=True)
class World:
    """What happens. *mtbf_s*: how long a node lives on average, and *back_s* how long it is away."""

    nodes: int = 1000
    requests: int = 100_000
    blobs: int = 3000
    cells: int = 4
    seconds: float = 3600.0
    mtbf_s: float = 4 * 3600.0
    back_s: float = 120.0
    emptied: float = 0.2
    zones: int = 4
    seed: int = 1


@dataclass
class Outcome:
    """What came of it. Copies and loads are in cells."""

    requests: int = 0
    cells_read: int = 0
    distinct: int = 0
    outside: int = 0
    held_here: int = 0
    from_holders: int = 0
    from_owners: int = 0
    waits_for_the_dead: int = 0
    deaths: int = 0
    far: int = 0
    redis_commands: int = 0
    redis_commands_of_cached: int = 0
    served: tuple[int, ...] = ()
    fetched: tuple[int, ...] = ()

    @property
    def copies(self):
        """How often a cell came from outside, on average over those that came at all."""
        return self.outside / max(1, self.distinct)

    def told(self):
        return {
            "requests": self.requests,
            "cells_read": self.cells_read,
            "distinct_cells": self.distinct,
            "outside_copies_per_cell": round(self.copies, 4),
            "outside_copies_per_cell_read": round(self.outside / max(1, self.cells_read), 4),
            "deaths": self.deaths,
            "waits_for_the_dead": self.waits_for_the_dead,
            "from_holders": self.from_holders,
            "from_owners": self.from_owners,
            "share_from_another_zone": round(self.far / max(1, self.from_holders), 4),
            "served_by_a_node": _spread(self.served),
            "fetched_by_a_node": _spread(self.fetched),
            "redis_commands_per_request": round(self.redis_commands / max(1, self.requests), 2),
            "redis_commands_per_cached_request": self.redis_commands_of_cached,
        }


def _spread(counts):
    ranked = sorted(counts)
    return {
        "mean": round(sum(ranked) / len(ranked), 1),
        "p99": ranked[-max(1, len(ranked) // 100)],
        "most": ranked[-1],
    }


class Simulation:
    """Runs a *world*, event by event."""

    def __init__(self, world):
        self.world = world
        self.random = random.Random(world.seed)
        self.peers = {
            f"n{index}": Peer(f"n{index}", zone=f"z{index % world.zones}", weight=1.0 + (index % 10 == 0))
            for index in range(world.nodes)
        }
        self.alive_since = dict.fromkeys(self.peers, float("-inf"))
        self.dead_since: dict[str, float] = {}
        # What is held, and since when; others know of it a little later.
        self.held: dict[str, dict[Part, float]] = {id: {} for id in self.peers}
        self.holders: dict[Part, dict[str, float]] = {}
        self.left_alone: dict[tuple[str, str], float] = {}
        self.seen: Counter[Part] = Counter()
        self.served: Counter[str] = Counter()
        self.fetched: Counter[str] = Counter()
        self.outcome = Outcome()
        self._known_at = float("-inf")
        self._known: dict[str, Peer] = {}

    def run(self):
        world, order = self.world, itertools.count()
        events: list[Any] = []
        for _ in range(world.requests):
            heapq.heappush(events, (self.random.uniform(0, world.seconds), next(order), self.request, None))
        for id in self.peers:
            heapq.heappush(events, (self.random.expovariate(1 / world.mtbf_s), next(order), self.die, id))
        while events:
            now, _, act, id = heapq.heappop(events)
            if now > world.seconds:
                break
            for later_s, then, whose in act(now, id) or ():
                heapq.heappush(events, (now + later_s, next(order), then, whose))
        outcome = self.outcome
        outcome.distinct = len(self.seen)
        outcome.outside = sum(self.seen.values())
        outcome.served = tuple(self.served[id] for id in self.peers)
        outcome.fetched = tuple(self.fetched[id] for id in self.peers)
        return outcome

    # --- events ---------------------------------------------------------------------------

    def die(self, now, id):
        self.outcome.deaths += 1
        self.dead_since[id] = now
        del self.alive_since[id]
        return [(self.random.expovariate(1 / self.world.back_s), self.come_back, id)]

    def come_back(self, now, id):
        self.alive_since[id] = now
        del self.dead_since[id]
        if self.random.random() < self.world.emptied:
            for cell in self.held[id]:
                self.holders[cell].pop(id, None)
            self.held[id] = {}
        return [(self.random.expovariate(1 / self.world.mtbf_s), self.die, id)]

    def request(self, now, _):
        id = self.random.choice(list(self.alive_since)) if self.alive_since else None
        if id is None:
            return
        # Few blobs are wanted by many: a Zipf-like draw.
        blob = min(int(self.random.paretovariate(0.6)) - 1, self.world.blobs - 1)
        outcome = self.outcome
        outcome.requests += 1
        before = outcome.redis_commands
        cells = [Part(f"{blob}", cell) for cell in range(self.world.cells)]
        outcome.cells_read += len(cells)
        if all(cell in self.held[id] for cell in cells):
            outcome.held_here += len(cells)
            outcome.redis_commands_of_cached += outcome.redis_commands - before
            return
        outcome.redis_commands += 1  # One look-up of the blob's holders.
        for cell in cells:
            if cell not in self.held[id]:
                now = self.read(now, id, cell)
                outcome.redis_commands += 2  # It is announced, and the key's life prolonged.

    # --- a read -----------------------------------------------------------------------------

    def read(self, now, id, cell):
        """Have *cell* at the node *id*; when it is there."""
        me, outcome = self.peers[id], self.outcome
        others = {other: peer for other, peer in self.members(now).items() if other != id}
        for dead in [other for (who, other), until in self.left_alone.items() if who == id and until > now]:
            others.pop(dead, None)
        known = [
            other for other, since in self.holders.get(cell, {}).items() if since + ANNOUNCED_AFTER_S <= now
        ]
        for step in plan(cell, me=me, others=others, holders=known):
            if step.id in self.dead_since:
                outcome.waits_for_the_dead += 1
                now += SILENCE_S if now - self.dead_since[step.id] < 1 else 0.01
                self.left_alone[id, step.id] = now + LEFT_ALONE_S
                continue
            if cell not in self.held[step.id]:
                if not step.is_owner:
                    continue
                self.fetch(now, step.id, cell)
            outcome.from_owners += step.is_owner
            outcome.from_holders += not step.is_owner
            outcome.far += not step.is_owner and self.peers[step.id].zone != me.zone
            self.served[step.id] += 1
            # What an owner is still fetching is passed on as it comes.
            there = max(now, self.held[step.id][cell]) + PEER_S
            self.keep(there, id, cell)
            return there
        self.fetch(now, id, cell)
        return self.held[id][cell]

    def fetch(self, now, id, cell):
        self.seen[cell] += 1
        self.fetched[id] += 1
        self.keep(now + OUTSIDE_S, id, cell)

    def keep(self, now, id, cell):
        self.held[id][cell] = now
        self.holders.setdefault(cell, {})[id] = now

    def members(self, now):
        """Who is in the group as far as Redis can tell: the dead stay for three heartbeats."""
        if now >= self._known_at + HEARTBEAT_S:
            self._known_at = now
            lately = [id for id, since in self.dead_since.items() if since + LOST_AFTER_S > now]
            there = [id for id, since in self.alive_since.items() if since + HEARTBEAT_S <= now]
            self._known = {id: self.peers[id] for id in (*there, *lately)}
        return self._known


def draw(outcome, path):
    """The spread of load over the nodes, as a picture."""
    import matplotlib as library

    library.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.4), constrained_layout=True)
    panels = ((outcome.served, "cells given to other nodes"), (outcome.fetched, "cells fetched from outside"))
    for axis, (counts, title) in zip(axes, panels, strict=True):
        axis.hist(counts, bins=40, color="#3b6ea5")
        axis.set(xlabel=f"{title}, by a node", ylabel="nodes")
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{len(outcome.served)} nodes, {outcome.requests} requests, {outcome.deaths} nodes lost: "
        f"{outcome.copies:.3f} copies of each cell from outside"
    )
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--chart", metavar="PNG")
    given = parser.parse_args()
    outcome = Simulation(World(nodes=given.nodes, requests=given.requests)).run()
    print(json.dumps(outcome.told(), indent=2))
    if given.chart:
        draw(outcome, given.chart)


if __name__ == "__main__":
    main()
