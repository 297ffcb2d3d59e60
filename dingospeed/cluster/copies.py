"""Which blobs the group keeps several copies of, and whether one may go.

    <group>:pins          {etag: "size:until"}: what is pinned or mounted on any node
    <group>:pinned:<id>   the etags that a node wants pinned, so that it can take them back
    <group>:heat:<hour>   "etag:size" by how often it was read, over all nodes, for two hours

Reads are counted in memory and told by a thread. All the rest asks Redis and is for chores, not for
requests; it raises LinkDown when Redis does not answer.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from dingospeed.cluster import choice
from dingospeed.cluster.choice import Peer
from dingospeed.cluster.holdings import WHOLE, Holding
from dingospeed.errors import LinkDown
from dingospeed.model import Blob, is_etag

if TYPE_CHECKING:
    from dingospeed.cluster.link import Command, Link

log = logging.getLogger(__name__)

T = TypeVar("T")

_HOUR = 3600
_FLUSH_S = 1.0
_MAX_COUNTED = 10_000
_BATCH = 500


def missing(etag: str, *, peers: Iterable[Peer], holders: Collection[str], copies: int) -> list[str]:
    """The ids of those of *peers* that are to get a copy; none when *copies* of them hold it, or nobody does.

    Pure, and the same on every node that sees the same: each makes the copies that are its own to make.
    """
    ranked = choice.top(etag, peers, 1 << 20)
    have = [peer for peer in ranked if peer.id in holders]
    if not have:
        return []
    lacking = [peer.id for peer in ranked if peer.id not in holders]
    return lacking[: max(0, copies - len(have))]


class Copies:
    """Asks and tells Redis about copies. *alive* are the ids of the nodes of the group, this one's too.

    *now_s* is the group's time, None while that is not known. A blob is hot from *hot_reads* an hour on.
    """

    def __init__(
        self,
        *,
        link: Link,
        group: str,
        id: str,
        alive: Callable[[], Collection[str]],
        now_s: Callable[[], float | None],
        hot_reads: int,
    ) -> None:
        self._link = link
        self._group = group
        self._id = id
        self._alive = alive
        self._now_s = now_s
        self._hot_reads = hot_reads
        self._reads: Counter[Blob] = Counter()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to tell of reads. Called once, after the fork."""
        threading.Thread(target=self._run, name="heat", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def note_read(self, blob: Blob) -> None:
        """Somebody reads *blob* from its beginning. Costs nothing."""
        with self._lock:
            if len(self._reads) < _MAX_COUNTED or blob in self._reads:
                self._reads[blob] += 1

    def repin(self, blobs: Collection[Blob], *, lifetime_s: float) -> None:
        """This node wants *blobs* pinned, and no others: of them cleaning leaves the group one copy at least.

        They are for *lifetime_s*, if it is not repeated. What it wanted before is pinned no longer, unless
        another node wants it.
        """
        now = self._now_s()
        if now is None:
            raise LinkDown("the group's time is not known yet")
        pins, own, lifetime = self._key("pins"), self._key("pinned", self._id), max(1, round(lifetime_s))
        until = int(now) + lifetime
        [before] = self._link.run([("SMEMBERS", own)])
        for batch in _batches(list(blobs)):
            # What may have to be taken back is noted first.
            commands: list[Command] = [("SADD", own, *(blob.etag for blob in batch))]
            commands += [("HSET", pins, blob.etag, f"{blob.size}:{until}") for blob in batch]
            self._link.run([*commands, ("EXPIRE", own, lifetime)])
        for etags in _batches(sorted(set(before) - {blob.etag for blob in blobs})):
            self._link.run([("SREM", own, *etags)])
            free = self._unwanted(etags)
            if free:
                self._link.run([("HDEL", pins, *free)])

    def pinned(self) -> dict[str, str]:
        """What any node wants pinned: sizes by etag. What nobody has repeated is forgotten."""
        [said] = self._link.run([("HGETALL", self._key("pins"))])
        sizes = self._sizes(said)
        for etags in _batches(sorted(said.keys() - sizes.keys())):
            self._link.run([("HDEL", self._key("pins"), *etags)])
        return sizes

    def wanted(self) -> list[Blob]:
        """What is pinned or hot now."""
        hour = self._hour()
        commands: list[Command] = [("HGETALL", self._key("pins"))]
        if hour is not None:
            for past in (hour, hour - 1):
                key = self._key("heat", str(past))
                commands.append(("ZRANGEBYSCORE", key, self._hot_reads, "+inf"))
        pins, *heats = self._link.run(commands)
        named = [
            *self._sizes(pins).items(),
            *(name.split(":", 1) for heat in heats for name in heat if ":" in name),
        ]
        found = (_blob(etag, size) for etag, size in named)
        return list(dict.fromkeys(blob for blob in found if blob is not None))

    def holders(self, etags: Sequence[str]) -> list[set[str]]:
        """For each of *etags* the nodes alive that hold all of it."""
        found = []
        alive = self._alive()
        for batch in _batches(etags):
            for said in self._link.run([("HGETALL", self._key("blob", etag)) for etag in batch]):
                whole = {node for node, text in said.items() if Holding.parse(text) == WHOLE}
                found.append(whole & set(alive))
        return found

    def may_remove(self, etag: str) -> bool:
        """Whether this node may remove its copy of a blob: not the last one of what is pinned.

        When it may, the others no longer count on it. False too when Redis can not be asked.
        """
        blob, pins = self._key("blob", etag), self._key("pins")
        try:
            # Withdrawn first, then looked at: of two nodes that remove the last two copies at once
            # both may be refused, but never both allowed.
            before, _, said, pin = self._link.run([
                ("HGET", blob, self._id),
                ("HDEL", blob, self._id),
                ("HGETALL", blob),
                ("HGET", pins, etag),
            ])  # fmt: skip
            alive = set(self._alive())
            others = {node for node, text in said.items() if Holding.parse(text) == WHOLE} & alive
            if others - {self._id} or not self._sizes({etag: pin or ""}):
                return True
            if before is not None:
                self._link.run([("HSET", blob, self._id, before)])
        except LinkDown as error:
            log.info("blob %s not removed: %s", etag[:12], error)
        return False

    def withdraw(self, etags: Sequence[str]) -> None:
        """This node has nothing of *etags* any more."""
        for batch in _batches(etags):
            self._link.run([("HDEL", self._key("blob", etag), self._id) for etag in batch])

    def hold(self, etags: Sequence[str]) -> None:
        """This node still has all of *etags*, although it was about to remove them."""
        for batch in _batches(etags):
            self._link.run([("HSET", self._key("blob", etag), self._id, WHOLE.text) for etag in batch])

    def _unwanted(self, etags: Sequence[str]) -> list[str]:
        """Those that no node wants pinned, not even one that was lost of late."""
        [nodes] = self._link.run([("HKEYS", self._key("nodes"))])
        if not nodes:
            return list(etags)
        wanted = self._link.run([("SMISMEMBER", self._key("pinned", node), *etags) for node in nodes])
        return [etag for etag, *by in zip(etags, *wanted, strict=True) if not any(by)]

    def _sizes(self, said: Mapping[str, str]) -> dict[str, str]:
        """Without those that nobody has repeated."""
        now = self._now_s() or 0.0
        told = ((etag, *text.partition(":")) for etag, text in said.items())
        return {etag: size for etag, size, _, until in told if until.isdecimal() and int(until) > now}

    def _run(self) -> None:
        while not self._stopped.wait(_FLUSH_S):
            try:
                self._flush()
            except LinkDown as error:
                log.debug("reads not told: %s", error)
            except Exception:
                # The thread's top: it is only a count.
                log.exception("reads could not be told")

    def _flush(self) -> None:
        hour = self._hour()
        if hour is None or not self._reads:
            return
        with self._lock:
            reads, self._reads = self._reads, Counter()
        key = self._key("heat", str(hour))
        commands: list[Command] = [
            ("ZINCRBY", key, count, f"{blob.etag}:{blob.size}") for blob, count in reads.items()
        ]
        for batch in _batches(commands):
            self._link.run([*batch, ("EXPIRE", key, 2 * _HOUR)])

    def _hour(self) -> int | None:
        now = self._now_s()
        return None if now is None else int(now) // _HOUR

    def _key(self, *parts: str) -> str:
        return ":".join((self._group, *parts))


def _batches(things: Sequence[T]) -> Iterable[Sequence[T]]:
    return (things[start : start + _BATCH] for start in range(0, len(things), _BATCH))


def _blob(etag: str, size: str) -> Blob | None:
    if not is_etag(etag) or not size.isdecimal():
        return None
    return Blob(etag, int(size))
