"""Which node has which blob, and which cells of it.

    <group>:blob:<etag>   {node id: "*" for all, else "<cell bytes>:<a bit for each cell>" in hex}

A thread of each worker writes what this node has, in batches, and looks up what readers want to know;
they wait for it shortly the first time, and after that use what was known a moment ago. What
nodes hold that are not members is not asked. Keys expire; each node repeats what it has well before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache

from dingospeed.errors import LinkDown
from dingospeed.model import Span

if TYPE_CHECKING:
    from dingospeed.cluster.link import Command, Link

log = logging.getLogger(__name__)

_WHOLE = "*"
# Longest that a reader waits for the first word about a blob.
_WAIT_S = 0.5
# How long a word is used before it is looked up again, and how long it is any good.
_FRESH_S, _OLD_S = 0.5, 60.0
_KNOWN = 4096
# Written, and looked up, at once.
_BATCH = 500
# Not written yet while Redis is away; more than these are told when all is told again.
_MAX_UNTOLD = 20_000
_IDLE_S = 1.0
_AWAY_S = 0.25


@dataclass(frozen=True, slots=True)
class Holding:
    """What a node has of a blob: all of it, when there are no *cell_bytes*, or those *cells*."""

    cell_bytes: int = 0
    cells: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.cell_bytes

    def has(self, span: Span) -> bool:
        """Whether all of *span* is there."""
        if self.is_whole:
            return True
        first, stop = span.start // self.cell_bytes, -(-span.stop // self.cell_bytes)
        wanted = ((1 << (stop - first)) - 1) << first
        return self.cells & wanted == wanted

    @property
    def text(self) -> str:
        return _WHOLE if self.is_whole else f"{self.cell_bytes:x}:{self.cells:x}"

    @classmethod
    def parse(cls, text: str) -> Holding | None:
        """None for what is no holding, or an empty one."""
        if text == _WHOLE:
            return cls()
        cell_bytes, _, cells = text.partition(":")
        try:
            found = cls(int(cell_bytes, 16), int(cells, 16))
        except ValueError:
            return None
        return found if found.cell_bytes > 0 and found.cells > 0 else None


WHOLE = Holding()


@dataclass(frozen=True, slots=True)
class _Known:
    holders: Mapping[str, Holding]
    at: float


class Holdings:
    """What the nodes of *group* hold, as the worker of node *id* knows it. Keys live for *lifetime_s*."""

    def __init__(self, *, link: Link, group: str, id: str, lifetime_s: float) -> None:
        self._link = link
        self._group = group
        self._id = id
        self._lifetime_s = max(1, round(lifetime_s))
        self._known: LRUCache[str, _Known] = LRUCache(_KNOWN)
        self._wanted: dict[str, None] = {}
        # By blob and node: this one's own, and others' that turned out to have nothing.
        self._untold: dict[tuple[str, str], Holding | None] = {}
        self._changed = threading.Condition()
        self._is_stopped = False
        self._has_forgotten = False

    def start(self) -> None:
        """Begin to write and look up. Called once, after the fork."""
        threading.Thread(target=self._run, name="holdings", daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def of(self, etag: str, *, wait_s: float = _WAIT_S) -> Mapping[str, Holding]:
        """What others hold of a blob, by node id; nothing when that can not be learnt in time."""
        now = time.monotonic()
        with self._changed:
            known = self._known.get(etag)
            if known is not None and now - known.at < _FRESH_S:
                return known.holders
            self._wanted[etag] = None
            self._changed.notify_all()
            if known is not None and now - known.at < _OLD_S:
                return known.holders
            if not self._link.is_up:
                return {}
            since = now - _FRESH_S
            self._changed.wait_for(lambda: self._is_known(etag, since) or not self._link.is_up, wait_s)
            known = self._known.get(etag)
        return known.holders if known is not None else {}

    def note(self, etag: str, held: Holding | None) -> None:
        """This node has *held* of a blob, None for nothing (any more). Told to the others shortly."""
        self._tell(etag, self._id, held)

    def deny(self, etag: str, node: str) -> None:
        """A node turned out not to have what it was said to have."""
        with self._changed:
            known = self._known.get(etag)
            if known is not None and node in known.holders:
                left = {id: held for id, held in known.holders.items() if id != node}
                self._known[etag] = _Known(left, known.at)
        self._tell(etag, node, None)

    @property
    def untold(self) -> int:
        """How much is not written yet; who has a lot to tell waits until it is less."""
        return len(self._untold)

    def has_forgotten(self) -> bool:
        """Whether something was never told since the last call: then all is to be told again."""
        with self._changed:
            forgotten, self._has_forgotten = self._has_forgotten, False
            return forgotten

    def _tell(self, etag: str, node: str, held: Holding | None) -> None:
        with self._changed:
            self._untold[etag, node] = held
            if len(self._untold) > _MAX_UNTOLD:
                self._untold.clear()
                self._has_forgotten = True
            self._changed.notify_all()

    def _is_known(self, etag: str, since: float) -> bool:
        known = self._known.get(etag)
        return known is not None and known.at >= since

    def _run(self) -> None:
        while not self._is_stopped:
            with self._changed:
                if not (self._wanted or self._untold):
                    self._changed.wait(_IDLE_S)
                wanted = list(self._wanted)[:_BATCH]
                told = dict(list(self._untold.items())[:_BATCH])
            if not (wanted or told):
                continue
            try:
                self._exchange(wanted, told)
            except LinkDown:
                self._give_up(wanted)
                time.sleep(_AWAY_S)
            except Exception:
                # The thread's top: it must outlive what nobody foresaw.
                log.exception("holdings could not be exchanged")
                self._give_up(wanted)
                time.sleep(_AWAY_S)

    def _exchange(self, wanted: list[str], told: dict[tuple[str, str], Holding | None]) -> None:
        began = time.monotonic()
        commands: list[Command] = [("HGETALL", self._key(etag)) for etag in wanted]
        for (etag, node), held in told.items():
            if held is None:
                commands.append(("HDEL", self._key(etag), node))
            else:
                commands.append(("HSET", self._key(etag), node, held.text))
                commands.append(("EXPIRE", self._key(etag), self._lifetime_s))
        answers = self._link.run(commands)
        with self._changed:
            for etag, said in zip(wanted, answers, strict=False):
                self._wanted.pop(etag, None)
                self._known[etag] = _Known(self._others(said), began)
            for key, held in told.items():
                if key in self._untold and self._untold[key] == held:
                    del self._untold[key]
            self._changed.notify_all()

    def _others(self, said: Mapping[str, str]) -> dict[str, Holding]:
        holders = {node: Holding.parse(text) for node, text in said.items() if node != self._id}
        return {node: held for node, held in holders.items() if held is not None}

    def _give_up(self, wanted: list[str]) -> None:
        """Who waits goes on without."""
        with self._changed:
            for etag in wanted:
                self._wanted.pop(etag, None)
            self._changed.notify_all()

    def _key(self, etag: str) -> str:
        return f"{self._group}:blob:{etag}"
