"""Who is in the group: each node says so by heartbeats that expire, every worker knows what was said last.

    <group>:epoch        made by the first who misses it: another one means that Redis was emptied
    <group>:node:<id>    a node's word of itself; expires when three heartbeats were missed
    <group>:nodes        ids and, for a day, when each was heard last

One worker of a node beats, by lease; all of them listen. Ages and expiries are told by Redis' clock
alone, so the nodes' own may differ. While Redis is away the last known members stay: who
of them is gone shows when it is asked.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from dingospeed.errors import LinkDown

if TYPE_CHECKING:
    from dingospeed.cluster.link import Command, Link

log = logging.getLogger(__name__)

# A node is lost after so many missed heartbeats.
_MISSED = 3
# How long a lost node is still shown.
_SHOWN_S = 86_400
# In place of the time when a node was heard last; it is not lost.
_SIGNED_OFF = 0
# From so many members on they are looked up less often, or Redis would hear of nothing else.
_MANY = 100


@dataclass(frozen=True, slots=True)
class Member:
    """What a node says of itself. *cell_bytes* is the grid in which it shares; times are Redis' seconds.

    *cache* tells it from another node that was given the same id by mistake.
    """

    id: str
    address: str
    zone: str = ""
    weight: float = 1.0
    is_online: bool = True
    cell_bytes: int = 0
    cache: str = ""
    version: str = ""
    started_at: float = 0.0
    load: float = 0.0
    disk_free: int = 0
    disk_total: int = 0
    blobs: int = 0
    blob_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """A node that is not heard any more, and since when."""

    id: str
    heard_at: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The group as it was known at *at* (this machine's monotonic clock); ids in order."""

    members: tuple[Member, ...] = ()
    lost: tuple[Lost, ...] = ()
    epoch: str = ""
    at: float = float("-inf")


class Right(Protocol):
    """What makes one worker of a node the one that beats, until it is released."""

    def release(self) -> None: ...


class Registry:
    """The group as one worker sees it. *describe* tells of this node now, given when it started.

    While a node with another *cache* goes by the same *id*, this one takes no part: it tells nothing, knows
    nobody, and all that need Redis find it away. So it is the newer one that steps back.

    *take_right* gives the right to beat to one worker of the node at a time, None to others.
    """

    def __init__(
        self,
        *,
        link: Link,
        group: str,
        id: str,
        cache: str,
        describe: Callable[[float], Member],
        take_right: Callable[[], Right | None],
        heartbeat_s: float,
    ) -> None:
        self.id = id
        self.snapshot = Snapshot()
        self._link = link
        self._group = group
        self._cache = cache
        self._describe = describe
        self._take_right = take_right
        self._heartbeat_s = heartbeat_s
        self._right: Right | None = None
        self._started_at: float | None = None
        self._ahead_s: float | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def now_s(self) -> float | None:
        """The group's time, in seconds since the epoch; None before Redis was ever reached."""
        return None if self._ahead_s is None else time.monotonic() + self._ahead_s

    @property
    def is_current(self) -> bool:
        """Whether what is known of the others is not older than a heartbeat may be."""
        return time.monotonic() - self.snapshot.at < _MISSED * self._pause_s

    @property
    def is_beating(self) -> bool:
        """Whether this worker is the one that speaks for its node."""
        return self._right is not None

    @property
    def trouble(self) -> str:
        """Why this node is not in its group; "" when it is."""
        return self._link.withheld or self._link.trouble

    def others(self) -> list[Member]:
        """The members but this node."""
        return [member for member in self.snapshot.members if member.id != self.id]

    def start(self) -> None:
        """Begin to beat and listen, for ever. Called once, after the fork."""
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sign off, if it is this worker that beats.

        Another worker that takes over within a heartbeat, as after a reload, finds the node still there.
        """
        self._stopped.set()
        right, self._right = self._right, None
        if right is None:
            return
        if self._link.withheld:
            right.release()
            return
        lifetime_ms = round(1.5 * self._heartbeat_s * 1000)
        with suppress(LinkDown):
            self._link.run([
                ("PEXPIRE", self._key("node", self.id), lifetime_ms),
                ("HSET", self._key("nodes"), self.id, _SIGNED_OFF),
            ])  # fmt: skip
        right.release()

    def beat(self) -> None:
        """Say that this node is alive, if that is this worker's to say, and look who else is.

        Raises LinkDown.
        """
        if self._right is None and not self._stopped.is_set():
            self._right = self._take_right()
        began = time.monotonic()
        asked: list[Command] = [
            ("TIME",),
            ("SET", self._key("epoch"), secrets.token_hex(8), "NX"),
            ("GET", self._key("epoch")),
            ("HGETALL", self._key("nodes")),
            ("GET", self._key("node", self.id)),
        ]
        (seconds, micros), _, epoch, heard, own = self._link.run(asked, anyway=True)
        now = seconds + micros / 1e6
        # Half the way there and back: good enough for ages of seconds.
        self._ahead_s = now - (began + time.monotonic()) / 2
        if self._started_at is None:
            self._started_at = now
        self._step_back_for(_member(own))
        if self._link.withheld:
            return
        commands: list[Command] = []
        if self._right is not None:
            heard[self.id] = now
            word = json.dumps(asdict(replace(self._describe(self._started_at), cache=self._cache)))
            lifetime_ms = round(_MISSED * self._heartbeat_s * 1000)
            commands.append(("SET", self._key("node", self.id), word, "PX", lifetime_ms))
            commands.append(("HSET", self._key("nodes"), self.id, f"{now:.3f}"))
        ids = sorted(heard)
        if ids:
            commands.append(("MGET", *(self._key("node", id) for id in ids)))
        words = self._link.run(commands)[-1] if commands else []
        if self._stopped.is_set():
            return
        said = {id: _member(word) for id, word in zip(ids, words or [], strict=False)}
        gone = [id for id, member in said.items() if member is None]
        forgotten = [id for id in gone if now - float(heard[id]) > _SHOWN_S]
        if forgotten:
            self._link.run([("HDEL", self._key("nodes"), *forgotten)])
        self._see(
            Snapshot(
                members=tuple(member for member in said.values() if member is not None),
                lost=tuple(Lost(id, float(heard[id])) for id in gone if id not in forgotten),
                epoch=str(epoch or ""),
                at=time.monotonic(),
            )
        )

    def _step_back_for(self, named: Member | None) -> None:
        """Take no part while it is another node that is *named* as this one."""
        why = ""
        if named is not None and named.cache not in ("", self._cache):
            why = (
                f"the node at {named.address} is named {self.id} already; expected another cluster.node_id "
                "here, this node takes no part in the group"
            )
            self.snapshot = Snapshot()
        before, self._link.withheld = self._link.withheld, why
        if self._right is not None and why != before:
            log.error("%s", why) if why else log.info("node %s is the only one of its name again", self.id)

    @property
    def _pause_s(self) -> float:
        return self._heartbeat_s * max(1.0, len(self.snapshot.members) / _MANY)

    def _see(self, now: Snapshot) -> None:
        before, self.snapshot = self.snapshot, now
        if self._right is None:
            return  # Told once per node.
        was, here = ({member.id for member in seen.members} - {self.id} for seen in (before, now))
        for id in sorted(here - was):
            log.info("node %s is in the group", id)
        for id in sorted(was - here):
            log.warning("node %s is lost", id)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.beat()
            except LinkDown as error:
                log.debug("no heartbeat: %s", error)
            except Exception:
                # The thread's top: a node tries to be in the group for ever.
                log.exception("a heartbeat failed")
            # The one who speaks for the node keeps the pace, or it would expire.
            self._stopped.wait(self._heartbeat_s if self._right is not None else self._pause_s)

    def _key(self, *parts: str) -> str:
        return ":".join((self._group, *parts))


def _member(word: Any) -> Member | None:
    """A node's word; None when there is none, or it is of a version that says something else."""
    if not word:
        return None
    try:
        told = json.loads(word)
        return Member(**{name: told[name] for name in Member.__slots__ if name in told})
    except (ValueError, TypeError, KeyError):
        return None
