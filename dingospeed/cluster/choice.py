"""Whom to ask for a part of a blob, and in which order. Pure: what is known goes in, names come out.

First who holds it, by load, zone and the rate seen. Then its owner: the online node with the highest
weighted rendezvous hash, which fetches it from outside while passing it on; all nodes that see the
same members name the same owner, so nobody has to be asked who it is. Then the outside.

The same functions choose in a running node and in the simulation (docs/cluster.md).
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

# So many holders are tried before the owner is, and so many owners before the outside.
MAX_HOLDERS = 3
MAX_OWNERS = 2
# What a peer whose rate is not known yet is taken for: quick, so that it is tried.
_UNKNOWN_RATE = 1e9
_HASH_RANGE = float(1 << 64)
# Slower than this part of what another peer gave lately is too slow to stay with ...
_SLOW_SHARE = 0.2
# ... once it had so long to show better.
_SLOW_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A node as another sees it. *busy*: transfers in hand; *rate*: bytes/s seen from it, 0 unknown."""

    id: str
    zone: str = ""
    weight: float = 1.0
    may_own: bool = True
    busy: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """Ask the peer *id*; as an owner it may fetch what it lacks from outside."""

    id: str
    is_owner: bool


def plan(
    key: str,
    *,
    me: Peer,
    others: Sequence[Peer],
    holders: Collection[str],
    may_fetch: bool = True,
) -> Iterator[Step]:
    """Whom *me* asks for the part named *key*, in order; at the end of it, the outside.

    *holders* are ids, unknown ones among them are passed over. *may_fetch*: whether an
    owner may fetch the part on its own account.
    """
    asked: set[str] = set()
    if holders:
        here = [peer for peer in others if peer.id in holders]
        for peer in heapq.nsmallest(MAX_HOLDERS, here, key=lambda peer: _cost(key, me, peer)):
            asked.add(peer.id)
            yield Step(peer.id, is_owner=False)
    if not may_fetch:
        return
    able = [peer for peer in (me, *others) if peer.may_own]
    for owner in top(key, able, MAX_OWNERS):
        if owner.id == me.id:
            return  # What comes after is the outside, and that is asked by the owner.
        if owner.id not in asked:
            yield Step(owner.id, is_owner=True)


def top(key: str, peers: Iterable[Peer], count: int) -> list[Peer]:
    """The *count* peers with the highest weighted rendezvous hash for *key*, the highest first."""
    return heapq.nlargest(count, peers, key=lambda peer: score(key, peer.id, peer.weight))


def score(key: str, id: str, weight: float) -> float:
    """Each peer wins a share of all keys that is its share of all weights (Resch's -w/ln h)."""
    digest = hashlib.blake2b(f"{key} {id}".encode(), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 0.5) / _HASH_RANGE
    return -weight / math.log(share)


def is_too_slow(rate: float, took_s: float, best_other: float) -> bool:
    """Whether a transfer at *rate* bytes/s is to be left for a peer seen at *best_other*."""
    return took_s >= _SLOW_AFTER_S and rate < best_other * _SLOW_SHARE


def _cost(key: str, me: Peer, peer: Peer) -> tuple[bool, float, float]:
    """Low for near, idle and quick ones; among equals it differs by who asks, so they share the load."""
    is_far = bool(me.zone and peer.zone and me.zone != peer.zone)
    seconds = (1.0 + peer.busy) / peer.weight / (peer.rate or _UNKNOWN_RATE)
    # Rates within a power of two are the same rate: they are measured under load.
    return is_far, round(math.log2(seconds)), -score(f"{me.id} {key}", peer.id, peer.weight)
