"""The other nodes of the group as this worker finds them: how to reach each, and how it does.

A node that fails is left alone until a probe finds it alive, as a line of the upstream is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlencode

from dingospeed.cluster.choice import Peer
from dingospeed.cluster.registry import Member, Registry
from dingospeed.cluster.signing import NoPeer, Signer
from dingospeed.errors import LineFailed, NotServed
from dingospeed.upstream.client import Client
from dingospeed.upstream.lines import Line, Lines
from dingospeed.upstream.stream import Stream

PROBE_PATH = "/-/healthz"
# The weight of the newest transfer in the rate that a node is known by, and what says nothing of it.
_NEWEST = 0.3
_MIN_RATED_BYTES = 1 << 20


class Neighbour:
    """One other node. *busy*: transfers from it to here; *rate*: bytes/s that it gave lately, 0 unknown."""

    def __init__(self, member: Member, line: Line) -> None:
        self.id = member.id
        self.address = member.address
        self.busy = 0
        self.rate = 0.0
        self._line = line
        self._lines = Lines(lines=[line], probe_path=PROBE_PATH)

    @property
    def is_up(self) -> bool:
        return bool(self._lines.candidates(token=False))

    @property
    def client(self) -> Client:
        return self._line.client

    def report(self, error: LineFailed | None) -> None:
        """Tell how it did: None for well, also when what it said was no."""
        self._lines.report(self._line, error)

    def rated(self, got_bytes: int, took_s: float) -> None:
        """It gave so much of what it had in so long a time."""
        if got_bytes >= _MIN_RATED_BYTES and took_s > 0:
            newest = got_bytes / took_s
            self.rate = newest if not self.rate else self.rate + _NEWEST * (newest - self.rate)

    def close(self) -> None:
        self._lines.close()


class Neighbours:
    """Those that *registry* knows, reached by what *connect* makes of them, with signed requests.

    *me* is this node; *cell_bytes* its grid: for nodes with another one it owns nothing, nor they for it.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        signer: Signer,
        connect: Callable[[Member], Line],
        me: Peer,
        cell_bytes: int,
    ) -> None:
        self.cell_bytes = cell_bytes
        self._registry = registry
        self._signer = signer
        self._connect = connect
        self._me = me
        self._known: dict[str, Neighbour] = {}
        self._lock = threading.Lock()

    def me(self) -> Peer:
        """This node as the others see it."""
        told = next((m for m in self._registry.snapshot.members if m.id == self._me.id), None)
        may_own = self._me.may_own if told is None else told.is_online
        return Peer(self._me.id, self._me.zone, self._me.weight, may_own)

    def peers(self) -> list[Peer]:
        """Those that can be asked now."""
        found = []
        members = self._registry.others()
        self._forget_all_but({member.id for member in members})
        for member in members:
            neighbour = self._of(member)
            if neighbour.is_up:
                may_own = member.is_online and member.cell_bytes == self.cell_bytes
                busy = member.load + neighbour.busy
                found.append(Peer(member.id, member.zone, member.weight, may_own, busy, neighbour.rate))
        return found

    def get(self, id: str) -> Neighbour | None:
        """The node *id*, if it is in the group."""
        member = next((member for member in self._registry.others() if member.id == id), None)
        return None if member is None else self._of(member)

    @contextmanager
    def open(
        self, neighbour: Neighbour, path: str, query: Mapping[str, str], *, read_s: float | None = None
    ) -> Iterator[Stream]:
        """What the node answers to GET *path*; its no's among them. How it did is reported.

        Raises NotServed when it can not be asked, LineFailed when it fails, in the body of the
        statement, too.
        """
        name = f"node {neighbour.id}"
        try:
            headers = self._signer.headers("GET", path, query, to=neighbour.id)
        except NoPeer as error:
            raise NotServed(name, str(error)) from error
        neighbour.busy += 1
        failure: LineFailed | None = None
        try:
            target = f"{path}?{urlencode(query)}"
            with neighbour.client.open(target, headers=headers, read_s=read_s) as stream:
                yield stream
        except NotServed:
            raise
        except LineFailed as error:
            failure = error
            raise
        finally:
            neighbour.busy -= 1
            neighbour.report(failure)

    def _forget_all_but(self, ids: set[str]) -> None:
        """Nodes come and go under new names: those that are gone keep no connections."""
        with self._lock:
            gone = [self._known.pop(id) for id in self._known.keys() - ids]
        for neighbour in gone:
            neighbour.close()

    def _of(self, member: Member) -> Neighbour:
        with self._lock:
            known = self._known.get(member.id)
            if known is not None and known.address == member.address:
                return known
            made = self._known[member.id] = Neighbour(member, self._connect(member))
        if known is not None:
            known.close()
        return made
