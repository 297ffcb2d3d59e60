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
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# So many holders are tried before the owner is, and so many owners before the outside.
MAX_HOLDERS = 3
MAX_OWNERS = 2
_LOOKED_AT = 16
# Cells that lie together, and up to how many peers they are dealt out evenly.
_ROW, _BALANCED = 8, 64
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


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked for: a cell of a blob."""

    etag: str
    cell: int

    @property
    def key(self) -> str:
        return f"{self.etag}.{self.cell}"


def plan(
    part: Part,
    *,
    me: Peer,
    others: Mapping[str, Peer],
    holders: Iterable[str],
    may_fetch: bool = True,
) -> Iterator[Step]:
    """Whom *me* asks for *part*, in order; at the end of it, the outside.

    *others* are those that can be asked, by id; other *holders* are passed over. *may_fetch*: whether an
    owner may fetch the part on its own account.
    """
    key, asked = part.key, set[str]()
    here = [others[id] for id in holders if id in others]
    near = [peer for peer in here if not _is_far(me, peer)]
    if len(near) >= MAX_HOLDERS:
        here = near
    for peer in heapq.nsmallest(MAX_HOLDERS, _some(key, me, here), key=lambda peer: _cost(key, me, peer)):
        asked.add(peer.id)
        yield Step(peer.id, is_owner=False)
    if not may_fetch:
        return
    able = [peer for peer in (me, *others.values()) if peer.may_own]
    for owner in owners(part, able):
        if owner.id == me.id:
            return  # What comes after is the outside, and that is asked by the owner.
        if owner.id not in asked:
            yield Step(owner.id, is_owner=True)


def owners(part: Part, peers: Sequence[Peer]) -> list[Peer]:
    """Who fetches *part* from outside: the first; the next when that one can not be asked.

    In each row of _ROW cells no peer is first for more than its share of them: readers go through a
    file in order, a few cells ahead, and by hashing alone one link would often have the work of three.
    """
    if not 1 < len(peers) <= _BALANCED:
        return top(part.key, peers, MAX_OWNERS)  # Among very many it hardly happens, and takes long.
    all_weights = sum(peer.weight for peer in peers)
    room = {peer.id: math.ceil(_ROW * peer.weight / all_weights) for peer in peers}
    first = peers[0]
    for cell in range(part.cell - part.cell % _ROW, part.cell + 1):
        [first] = top(Part(part.etag, cell).key, [peer for peer in peers if room[peer.id]], 1)
        room[first.id] -= 1
    rest = [peer for peer in peers if peer.id != first.id]
    return [first, *top(part.key, rest, MAX_OWNERS - 1)]


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


def _is_far(me: Peer, peer: Peer) -> bool:
    return bool(me.zone and peer.zone and me.zone != peer.zone)


def _some(key: str, me: Peer, peers: list[Peer]) -> list[Peer]:
    """At most _LOOKED_AT of *peers*, others for each who asks: the best of a few is as good as the best."""
    if len(peers) <= _LOOKED_AT:
        return peers
    first = zlib.crc32(f"{me.id} {key}".encode()) % len(peers)
    return (peers + peers)[first : first + _LOOKED_AT]


def _cost(key: str, me: Peer, peer: Peer) -> tuple[bool, float, float]:
    """Low for near, idle and quick ones; among equals it differs by who asks, so they share the load."""
    seconds = (1.0 + peer.busy) / peer.weight / (peer.rate or _UNKNOWN_RATE)
    # Rates within a power of two are the same rate: they are measured under load.
    return _is_far(me, peer), round(math.log2(seconds)), -score(f"{me.id} {key}", peer.id, peer.weight)
