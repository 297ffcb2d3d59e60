"""Warm-up jobs of the whole group: taken here for all, and this node's share of each kept going.

A share is an ordinary job of the node with the id of the group's. So it is run, paused, restarted and
limited as any other, goes on while Redis is away, and brings the group's job back when Redis was emptied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from dingospeed.cluster.choice import Peer
from dingospeed.cluster.sharedjobs import Record, SharedJobs
from dingospeed.errors import LinkDown, Refusal, RepoNotFound
from dingospeed.model import Caller
from dingospeed.upkeep.jobs import (
    RUNNABLE,
    Act,
    Job,
    JobNotFound,
    JobStore,
    NotNow,
    State,
    Wish,
    is_id,
    new_job,
)
from dingospeed.upkeep.shares import ALL, ELSEWHERE, GroupJob, Word, chosen, due, outcome, seen

log = logging.getLogger(__name__)

_JOB: TypeAdapter[Job] = TypeAdapter(Job)
_WORD: TypeAdapter[Word] = TypeAdapter(Word)
_ORDERS = {Act.PAUSE: "pause", Act.RESUME: "run", Act.CANCEL: "cancel"}


class NoGroup(Refusal):
    status = 409

    def __init__(self) -> None:
        super().__init__("nodes: this mirror is in no group (cluster.redis_url is not set)")


class NoSuchNode(Refusal):
    status = 404


class TooFewNodes(Refusal):
    status = 409


class TokenStays(Refusal):
    """A token was given for what other nodes are to do."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "token: no caller's token goes to other nodes. Name the repo in access.node_token of all"
            " nodes, or warm it up on each of them"
        )


class GroupAway(Refusal):
    status = 503

    def __init__(self) -> None:
        super().__init__("The group's Redis does not answer")


class GroupJobs:
    """The group's jobs for the node *id*; *shares* are the jobs of the node, where its shares are kept.

    *alive* are the nodes of the group, this one too, as they were known last; *is_current* says whether
    they still are. What asks Redis raises LinkDown.
    """

    def __init__(
        self,
        *,
        shared: SharedJobs,
        shares: JobStore,
        id: str,
        alive: Callable[[], Sequence[Peer]],
        is_current: Callable[[], bool],
    ) -> None:
        self._shared = shared
        self._shares = shares
        self._id = id
        self._alive = alive
        self._is_current = is_current

    # --- for people ---------------------------------------------------------------------------

    def check(self, caller: Caller, nodes: str) -> None:
        """Raises a Refusal unless *nodes* are there and *caller* has no token that they would need."""
        if caller.token is not None:
            raise TokenStays()
        if not self._is_current():
            raise GroupAway()
        alive = [peer.id for peer in self._alive()]
        if nodes.isdecimal():
            if not 0 < int(nodes) <= len(alive):
                raise TooFewNodes(f"nodes: {nodes} are asked for, and {len(alive)} are alive")
        elif nodes != ALL:
            unknown = [name for name in nodes.split(",") if name not in alive]
            if unknown:
                raise NoSuchNode(
                    f"nodes: {', '.join(unknown)}: not in the group, or lost; there are {', '.join(alive)}"
                )

    def begin(self, wish: Wish, address: str, nodes: str) -> tuple[Job, bool]:
        """The job of the group for *wish*, and whether it is new: one that is not over goes on instead."""
        same = next(
            (job for job in self.all() if (job.wish, job.nodes) == (wish, nodes) and not job.is_over), None
        )
        if same is not None:
            return self.act(same.id, Act.RESUME), False
        job = new_job(wish, address=address, nodes=nodes)
        self._shared.add(job.id, _written(job))
        return self.get(job.id), True

    def act(self, id: str, act: Act) -> Job:
        """Pause, resume or cancel on all nodes. Raises JobNotFound, NotNow."""
        self.get(id).after(act)
        self._shared.tell(id, _ORDERS[act])
        return self.get(id)

    def all(self) -> list[Job]:
        """The latest first."""
        return self._seen(self._shared.latest())

    def get(self, id: str) -> Job:
        """Raises JobNotFound."""
        for job in self._seen([id] if is_id(id) else []):
            return job
        raise JobNotFound()

    # --- for the node -------------------------------------------------------------------------

    def tend(self) -> None:
        """Do what is due of this node's shares, and tell how far they are. A chore."""
        if not self._is_current():
            return
        try:
            self._tend(self._alive())
        except LinkDown as error:
            log.debug("jobs of the group: %s", error)

    def _tend(self, alive: Sequence[Peer]) -> None:
        shares = {job.id: job for job in self._shares.all() if job.nodes}
        unfinished = {id for id, job in shares.items() if not job.is_over}
        records = self._shared.read(sorted({*self._shared.open(), *unfinished}))
        for lost in unfinished - {record.id for record in records}:
            self._bring_back(shares[lost])
        told, ended = {}, []
        for record in records:
            group_job = _read(record)
            if group_job is None:
                continue
            word = self._attend(group_job, shares.get(record.id), alive)
            if word is not None and word != group_job.words.get(self._id):
                told[record.id] = _WORD.dump_json(word).decode()
            now = replace(group_job, words={**group_job.words, **({self._id: word} if word else {})})
            end = None if group_job.is_over else outcome(now, chosen(now, alive))
            if end is not None:
                ended.append((record, end))
        self._shared.report(told)
        for record, end in ended:
            log.info("job %s of the group: %s", record.id, end.value)
            self._shared.end(record, end.value)

    def _attend(self, group_job: GroupJob, share: Job | None, alive: Sequence[Peer]) -> Word | None:
        """Do what is due of the share; what is to be said of it, None when there is none."""
        is_mine = self._id in chosen(group_job, alive)
        before = group_job.words.get(self._id)
        act = due(group_job, is_mine=is_mine, share=share, heard=before.turn if before else 0)
        if act is Act.BEGIN:
            share = group_job.job
            self._shares.add(share)
        elif act is not None and share is not None:
            reason = "" if is_mine or act is not Act.PAUSE else ELSEWHERE
            with suppress(NotNow, JobNotFound):
                share = self._shares.update(share.id, lambda job: job.after(act, reason))
        if share is None:
            return None
        progress = replace(share.progress, now=())
        return Word(share.state, share.reason, progress, group_job.turn, share.changed_at)

    def _bring_back(self, share: Job) -> None:
        """Redis was emptied: who works on a job has it, too."""
        if share.state in RUNNABLE:
            log.info("job %s is told to the group again", share.id)
            wanted = new_job(share.wish, origin=share.origin, address=share.address, nodes=share.nodes)
            created = share.created_at
            self._shared.add(share.id, _written(replace(wanted, id=share.id, created_at=created)))

    def _seen(self, ids: Sequence[str]) -> list[Job]:
        alive = self._alive()
        found = (_read(record) for record in self._shared.read(ids))
        return [seen(group_job, alive) for group_job in found if group_job is not None]


def _written(job: Job) -> str:
    return _JOB.dump_json(job).decode()


def _read(record: Record) -> GroupJob | None:
    """None for what a node of another version wrote."""
    try:
        job = _JOB.validate_json(record.job)
        words = {id: _WORD.validate_json(text) for id, text in record.shares.items()}
        outcome = State(record.outcome) if record.outcome else None
    except (ValidationError, RepoNotFound, ValueError):
        return None
    # The id becomes a name of a file.
    if not is_id(record.id) or job.id != record.id or not job.nodes:
        return None
    return GroupJob(job, record.order, record.turn, outcome, words)
