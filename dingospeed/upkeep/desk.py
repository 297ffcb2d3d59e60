"""Where jobs are asked for and told what to do: those of this node and those of its group, as one list."""

from __future__ import annotations

import logging

from dingospeed.errors import LinkDown
from dingospeed.model import Caller
from dingospeed.upkeep.groupjobs import GroupAway, GroupJobs, NoGroup, TokenStays
from dingospeed.upkeep.jobs import Act, Job, JobNotFound, Wish
from dingospeed.upkeep.planning import Plan
from dingospeed.upkeep.warmup import Warmups

log = logging.getLogger(__name__)


class Desk:
    """*own* takes the node's jobs, *group* those of the group, None without one.

    The share that this node has of a job of the group is shown and told as the whole job; as what it is
    only while Redis is away.
    """

    def __init__(self, *, own: Warmups, group: GroupJobs | None) -> None:
        self._own = own
        self._group = group

    def plan(self, wish: Wish, caller: Caller, nodes: str | None = None) -> Plan:
        """What would be fetched, by each of *nodes* that has nothing. Raises a Refusal or UpstreamError."""
        if nodes is not None:
            self._group_of(nodes, caller)
        return self._own.plan(wish, caller)

    def held(self, plan: Plan) -> dict[str, int]:
        return self._own.held(plan)

    def begin(self, wish: Wish, caller: Caller, nodes: str | None = None) -> tuple[Job, bool]:
        """As Warmups.begin, on this node or on *nodes* of the group."""
        if nodes is None:
            return self._own.begin(wish, caller)
        group = self._group_of(nodes, caller)
        self._own.check(wish, caller)
        try:
            return group.begin(wish, caller.address, nodes)
        except LinkDown as error:
            raise GroupAway() from error

    def act(self, id: str, act: Act, *, token: str | None = None) -> Job:
        """Pause, resume or cancel. Raises JobNotFound, NotNow."""
        job = self.get(id)
        if self._group is None or not job.nodes:
            return self._own.act(id, act, token=token)
        if token is not None:
            raise TokenStays()
        try:
            return self._group.act(id, act)
        except JobNotFound:
            # Redis was emptied: this share is all that is left of it, and brings it back when it runs.
            return self._own.act(id, act)
        except LinkDown as error:
            raise GroupAway() from error

    def all(self) -> list[Job]:
        """The latest first."""
        jobs = {job.id: job for job in self._own.jobs.all()}
        if self._group is not None:
            try:
                jobs.update((job.id, job) for job in self._group.all())
            except LinkDown as error:
                log.debug("jobs of the group are not shown: %s", error)
        return [jobs[id] for id in sorted(jobs, reverse=True)]

    def get(self, id: str) -> Job:
        """Raises JobNotFound."""
        if self._group is not None:
            try:
                return self._group.get(id)
            except (JobNotFound, LinkDown) as error:
                log.debug("job %s is looked for among this node's: %s", id, error)
        return self._own.jobs.get(id)

    def _group_of(self, nodes: str, caller: Caller) -> GroupJobs:
        if self._group is None:
            raise NoGroup()
        self._group.check(caller, nodes)
        return self._group
