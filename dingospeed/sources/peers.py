"""A file's bytes from the other nodes of the group, and from outside what they do not give.

A span is read cell by cell. For each the plan of cluster/choice says whom to ask; where one
stops, the next goes on at that byte, and in the end the outside. Content that came wrong a while
ago is not asked of peers again: with bytes of several sources nobody knows who is to blame.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from dingospeed.cluster import choice
from dingospeed.cluster.choice import Part, Step
from dingospeed.cluster.holdings import Holdings
from dingospeed.errors import LineFailed, NotServed, UpstreamError
from dingospeed.metrics import Metrics
from dingospeed.model import Blob, FileMeta, Span
from dingospeed.sources.chain import Pacing, at_once
from dingospeed.sources.neighbours import Neighbour, Neighbours
from dingospeed.upstream.stream import Stream

log = logging.getLogger(__name__)

BLOBS_PATH = "/-/peers/blobs/"
_PIECE_BYTES = 256 << 10
# How often a transfer is looked at for being slow.
_LOOK_S = 0.5
# How long an answer waits to hear whether another node has the file.
_KNOW_S = 0.1


class Outside(Protocol):
    """Where the bytes of one file come from when no peer gives them."""

    def read(self, span: Span) -> Iterator[bytes]: ...


class Peers:
    """Reads from *neighbours* what *holdings* say that they have, or what they own.

    *rejections*: how often a file's content came wrong lately. *on_received* hears of bytes by node.
    """

    def __init__(
        self,
        *,
        neighbours: Neighbours,
        holdings: Holdings,
        rejections: Callable[[Blob], int],
        metrics: Metrics,
        on_received: Callable[[str, int], None],
    ) -> None:
        self._neighbours = neighbours
        self._holdings = holdings
        self._rejections = rejections
        self._metrics = metrics
        self._on_received = on_received
        # Cells that an owner was asked for and has not given yet.
        self._asked: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def source(
        self, blob: Blob, outside: Outside, *, public_as: FileMeta | None, pace: Pacing = at_once
    ) -> PeerSource:
        """Where the bytes of *blob* come from. Others may fetch them from outside for us, where they
        are public and found by a name: *public_as*. What they fetch is taken no faster than *pace* lets it.
        """
        return PeerSource(self, blob, outside, public_as, pace)

    def copies_of(self, blob: Blob) -> PeerSource:
        """Where the bytes come from when only those count that the group has."""
        return PeerSource(self, blob, _Nowhere(), None)

    def are_holding(self, blob: Blob) -> bool:
        """Whether one of those that can be asked is known to hold all of *blob*."""
        able = {peer.id for peer in self._neighbours.peers()}
        if not able or self._rejections(blob):
            return False
        holders = self._holdings.of(blob.etag, wait_s=_KNOW_S)
        return any(held.has(blob.whole) for id, held in holders.items() if id in able)

    def is_asking(self, blob: Blob, span: Span) -> bool:
        """Whether an owner is being asked for a cell of *span*: then others must not wait for it here,
        or two nodes that disagree about the owner would wait for each other.
        """
        with self._lock:
            return any(self._asked[blob.etag, cell] for cell in span.cells(self._neighbours.cell_bytes))

    def read(self, file: PeerSource, span: Span) -> Iterator[bytes]:
        """Exactly the bytes of *span*. Raises what the outside raises when nobody else gives them."""
        if self._rejections(file.blob) and self._neighbours.me().may_own:
            yield from file.outside.read(span)
            return
        cell_bytes = self._neighbours.cell_bytes
        for cell in span.cells(cell_bytes):
            part = span.overlap(Span(cell * cell_bytes, (cell + 1) * cell_bytes))
            if part is not None:
                yield from self._read_part(file, cell, part)

    def _read_part(self, file: PeerSource, cell: int, part: Span) -> Iterator[bytes]:
        steps = list(self._plan(file, cell, part))
        position = yield from self._from_first(file, steps, cell, part)
        if position == part.stop:
            return
        try:
            for piece in file.outside.read(Span(position, part.stop)):
                position += len(piece)
                yield piece
        except UpstreamError:
            # Our way out is closed; perhaps not that of others.
            others = self._last_resort(file, cell, asked={step.id for step in steps})
            position = yield from self._from_first(file, others, cell, Span(position, part.stop))
            if position < part.stop:
                raise

    def _from_first(
        self, file: PeerSource, steps: Iterable[Step], cell: int, span: Span
    ) -> Generator[bytes, None, int]:
        """The bytes of *span* from the first that gives them, where it stops from the next.

        Returns where they end: before the end of *span* when nobody gave the rest.
        """
        position = span.start
        for step in steps:
            try:
                for piece in self._from_peer(file, step, cell, Span(position, span.stop)):
                    position += len(piece)
                    yield piece
                break
            except LineFailed as error:
                log.info("blob %s at byte %d: %s", file.blob.etag[:12], position, error)
        return position

    def _plan(self, file: PeerSource, cell: int, part: Span) -> Iterator[Step]:
        others = self._neighbours.peers()
        if not others:
            return iter(())
        holders = {id for id, held in self._holdings.of(file.blob.etag).items() if held.has(part)}
        return choice.plan(
            Part(file.blob.etag, cell),
            me=self._neighbours.me(),
            others={peer.id: peer for peer in others},
            holders=holders,
            may_fetch=file.public_as is not None,
        )

    def _last_resort(self, file: PeerSource, cell: int, *, asked: set[str]) -> list[Step]:
        able = [peer for peer in self._neighbours.peers() if peer.may_own and peer.id not in asked]
        owners = choice.owners(Part(file.blob.etag, cell), able)
        return [Step(peer.id, is_owner=True) for peer in owners] if file.public_as else []

    def _from_peer(self, file: PeerSource, step: Step, cell: int, span: Span) -> Iterator[bytes]:
        neighbour = self._neighbours.get(step.id)
        if neighbour is None:
            raise NotServed(f"node {step.id}", "left the group")
        blob = file.blob
        key = (blob.etag, cell)
        with self._lock:
            self._asked[key] += step.is_owner
        try:
            with closing(self._transfer(neighbour, file, step, span)) as pieces:
                for piece in pieces:
                    self._metrics.peer_bytes.labels(step.id, "received").inc(len(piece))
                    self._on_received(step.id, len(piece))
                    yield piece
                    if step.is_owner:
                        file.pace(len(piece))
        finally:
            with self._lock:
                self._asked[key] -= step.is_owner
                if not self._asked[key]:
                    del self._asked[key]

    def _transfer(
        self, neighbour: Neighbour, file: PeerSource, step: Step, span: Span
    ) -> Generator[bytes, None, None]:
        """The bytes of *span* as the node gives them. Raises LineFailed, NotServed for its no."""
        blob, name = file.blob, f"node {neighbour.id}"
        query = {"size": str(blob.size), "start": str(span.start), "stop": str(span.stop)}
        meta = file.public_as
        if step.is_owner and meta is not None:
            query |= {"type": meta.repo.type, "repo": meta.repo.id, "commit": meta.commit, "path": meta.path}
        with self._neighbours.open(neighbour, BLOBS_PATH + blob.etag, query) as stream:
            if stream.status == 404 and not step.is_owner:
                self._holdings.deny(blob.etag, neighbour.id)
            if stream.status != 200:
                raise NotServed(name, f"answered {stream.status}")
            if stream.headers.get("Content-Length") != str(len(span)):
                raise LineFailed(name, "does not send what it was asked for")
            # An owner is as quick as the outside: it is not rated, and not too slow for anything.
            if step.is_owner:
                yield from _pieces(stream, name, len(span))
            else:
                yield from self._rated(neighbour, _pieces(stream, name, len(span)), len(span))

    def _rated(self, neighbour: Neighbour, pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
        """*pieces* of *count* bytes. Raises NotServed when another node would be much quicker."""
        began = looked = time.monotonic()
        best, done = self._best_other(neighbour), 0
        try:
            for piece in pieces:
                done += len(piece)
                yield piece
                now = time.monotonic()
                if done < count and now > looked + _LOOK_S:
                    looked = now
                    if choice.is_too_slow(done / (now - began), now - began, best):
                        raise NotServed(f"node {neighbour.id}", "is slow")
        finally:
            neighbour.rated(done, time.monotonic() - began)

    def _best_other(self, neighbour: Neighbour) -> float:
        return max((peer.rate for peer in self._neighbours.peers() if peer.id != neighbour.id), default=0.0)


def _pieces(stream: Stream, name: str, count: int) -> Iterator[bytes]:
    """Exactly *count* bytes. Raises LineFailed when there are not so many."""
    while count:
        piece = stream.read(min(_PIECE_BYTES, count))
        if not piece:
            raise LineFailed(name, f"ended {count} bytes early")
        count -= len(piece)
        yield piece


class _Nowhere:
    """The outside of what is only copied."""

    def read(self, span: Span) -> Iterator[bytes]:
        raise UpstreamError("no node of the group gives it")


@dataclass(frozen=True, slots=True)
class PeerSource:
    """One file, from the group or from *outside*, which is bound to the caller."""

    peers: Peers
    blob: Blob
    outside: Outside
    public_as: FileMeta | None
    pace: Pacing = at_once

    def read(self, span: Span) -> Iterator[bytes]:
        return self.peers.read(self, span)
