"""Jobs of the whole group, kept in Redis for all of its nodes.

    <group>:jobs       ids, which in the order of names are in the order of time; the latest are kept
    <group>:jobs:open  ids of those that somebody may have to work on
    <group>:job:<id>   job: what is wanted, signed; order and turn: what it was told last, and how
                       often it was told something; outcome: how it ended, with the turn it ended
                       in; share:<node>: how far a node is

Nobody owns a job: each node reads what was said and does its own share. What is wanted is signed with the
group's secret, so who can only write to Redis has nothing fetched. All of it raises LinkDown when Redis
does not answer.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dingospeed.cluster.link import Command, Link

_KEPT = 100
_OVER_KEPT_S = 7 * 86_400
_SHARE = "share:"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a job; *outcome* is "" until it has ended. *shares* are the words of nodes, by id."""

    id: str
    job: str
    order: str
    turn: int
    outcome: str
    shares: Mapping[str, str]


class SharedJobs:
    """The jobs of *group*, as the node *id* reads and writes them."""

    def __init__(self, *, link: Link, group: str, id: str, secret: str) -> None:
        self._link = link
        self._group = group
        self._id = id
        self._secret = secret.encode()

    def add(self, id: str, job: str) -> None:
        """A new job, to be run; one that is there already stays as it is."""
        key = self._key("job", id)
        self._link.run([
            ("HSETNX", key, "job", f"{self._signature(id, job)} {job}"),
            ("HSETNX", key, "order", "run"),
            ("HSETNX", key, "turn", 1),
            ("SADD", self._key("jobs", "open"), id),
            ("ZADD", self._key("jobs"), 0, id),
            ("ZREMRANGEBYRANK", self._key("jobs"), 0, -_KEPT - 1),
        ])  # fmt: skip

    def tell(self, id: str, order: str) -> None:
        """Tell a job, and so all who work on it, to "run", "pause" or "cancel"."""
        key, are_open = self._key("job", id), self._key("jobs", "open")
        commands: list[Command] = [("HINCRBY", key, "turn", 1), ("HSET", key, "order", order)]
        if order == "cancel":
            commands += [("SREM", are_open, id), ("EXPIRE", key, _OVER_KEPT_S)]
        else:
            commands += [("PERSIST", key), ("SADD", are_open, id)]
        self._link.run(commands)

    def end(self, record: Record, outcome: str) -> None:
        """The job has ended; without effect when it was told something since *record*."""
        key, are_open = self._key("job", record.id), self._key("jobs", "open")
        *_, turn = self._link.run([
            ("HSET", key, "outcome", f"{record.turn} {outcome}"),
            ("EXPIRE", key, _OVER_KEPT_S),
            ("SREM", are_open, record.id),
            ("HGET", key, "turn"),
        ])  # fmt: skip
        if str(record.turn) != turn:
            # Whoever told it something had it among the open ones before we took it out.
            self._link.run([("PERSIST", key), ("SADD", are_open, record.id)])

    def report(self, shares: Mapping[str, str]) -> None:
        """How far this node is with its shares, by the ids of the jobs."""
        if shares:
            field = f"{_SHARE}{self._id}"
            self._link.run([("HSET", self._key("job", id), field, text) for id, text in shares.items()])

    def open(self) -> list[str]:
        """The ids of all that may have work for somebody."""
        [ids] = self._link.run([("SMEMBERS", self._key("jobs", "open"))])
        return sorted(ids)

    def latest(self) -> list[str]:
        """The ids of all that are kept, the latest first."""
        [ids] = self._link.run([("ZREVRANGE", self._key("jobs"), 0, -1)])
        return list(ids)

    def read(self, ids: Sequence[str]) -> list[Record]:
        """Those of *ids* that are there and were written by a node of this group."""
        if not ids:
            return []
        said = self._link.run([("HGETALL", self._key("job", id)) for id in ids])
        return list(self._records(zip(ids, said, strict=True)))

    def _records(self, said: Iterable[tuple[str, Mapping[str, str]]]) -> Iterable[Record]:
        for id, fields in said:
            signature, _, job = fields.get("job", "").partition(" ")
            if not hmac.compare_digest(signature.encode(), self._signature(id, job).encode()):
                continue
            turn = fields.get("turn", "")
            ended_in, _, outcome = fields.get("outcome", "").partition(" ")
            yield Record(
                id=id,
                job=job,
                order=fields.get("order", "run"),
                turn=int(turn) if turn.isdecimal() else 0,
                outcome=outcome if ended_in == turn else "",
                shares={
                    name.removeprefix(_SHARE): text
                    for name, text in fields.items()
                    if name.startswith(_SHARE)
                },
            )

    def _signature(self, id: str, job: str) -> str:
        return hmac.new(self._secret, f"job\n{id}\n{job}".encode(), hashlib.sha256).hexdigest()

    def _key(self, *parts: str) -> str:
        return ":".join((self._group, *parts))
