"""Warm-up jobs: what is wanted, how far it is, and which state follows from which.

A job is a value. Whoever changes one hands its store a function, so that two who do so at the
same moment, a runner and somebody who pauses it, both get their way.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Protocol

from dingospeed.errors import Refusal
from dingospeed.model import RepoRef

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}\Z")


class State(str, Enum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Act(str, Enum):
    """What can happen to a job."""

    BEGIN = "begin"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    FINISH = "finish"
    FAIL = "fail"


_NEXT: dict[tuple[State, Act], State] = {
    (State.QUEUED, Act.BEGIN): State.RUNNING,
    # Of a runner that died.
    (State.RUNNING, Act.BEGIN): State.RUNNING,
    (State.QUEUED, Act.PAUSE): State.PAUSED,
    (State.RUNNING, Act.PAUSE): State.PAUSED,
    (State.PAUSED, Act.PAUSE): State.PAUSED,
    (State.QUEUED, Act.RESUME): State.QUEUED,
    (State.RUNNING, Act.RESUME): State.RUNNING,
    (State.PAUSED, Act.RESUME): State.QUEUED,
    (State.FAILED, Act.RESUME): State.QUEUED,
    (State.QUEUED, Act.CANCEL): State.CANCELLED,
    (State.RUNNING, Act.CANCEL): State.CANCELLED,
    (State.PAUSED, Act.CANCEL): State.CANCELLED,
    (State.CANCELLED, Act.CANCEL): State.CANCELLED,
    (State.RUNNING, Act.FINISH): State.DONE,
    (State.RUNNING, Act.FAIL): State.FAILED,
}
RUNNABLE = (State.QUEUED, State.RUNNING)
OVER = (State.DONE, State.FAILED, State.CANCELLED)


class NotNow(Refusal):
    """The job is in no state for this."""

    status = 409

    def __init__(self, job: Job, act: Act) -> None:
        super().__init__(f"Job {job.id} is {job.state.value}: it can not {act.value}")


class JobNotFound(Refusal):
    status = 404

    def __init__(self) -> None:
        super().__init__("There is no such job")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be warmed up: files of *repo* at *revision*, all or those that match the patterns.

    Patterns are those of huggingface_hub: of shells, ``*`` any text, slashes too; a folder with
    its slash stands for all in it.
    """

    repo: RepoRef
    revision: str = "main"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def wants(self, path: str) -> bool:
        return (not self.include or _matches(path, self.include)) and not _matches(path, self.exclude)


@dataclass(frozen=True, slots=True)
class Part:
    """A file that is being fetched right now."""

    path: str
    size: int
    held: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the revision is held; whoever brought it. *rate* in bytes a second, *left_s* None when
    it can not be told.
    """

    commit: str = ""
    files: int = 0
    files_held: int = 0
    bytes: int = 0
    bytes_held: int = 0
    rate: int = 0
    left_s: int | None = None
    now: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """What one node does of a job of its group. *is_lost*: the node is not heard any more."""

    node: str
    state: State
    reason: str = ""
    progress: Progress = Progress()
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """*reason* says in words why it is in its *state*, "" where that needs none.

    *token* is the caller's own, sealed (tokens.py); *address* is where the job came from, which
    decides with the settings whether the node's token may stand in. *nodes* says of a job of the group
    which of them are to do it: "all", a number or names; *shares* are what each of them does.
    """

    id: str
    wish: Wish
    state: State
    created_at: float
    changed_at: float
    reason: str = ""
    origin: str = "request"
    address: str = ""
    token: str | None = field(default=None, repr=False)
    progress: Progress = Progress()
    nodes: str = ""
    shares: tuple[Share, ...] = ()

    def after(self, act: Act, reason: str = "") -> Job:
        """The job once *act* has happened to it. Raises NotNow."""
        following = _NEXT.get((self.state, act))
        if following is None:
            raise NotNow(self, act)
        # Nobody needs the token of what is over, and a rate is of what goes on.
        progress = self.progress
        if following not in RUNNABLE:
            progress = replace(progress, rate=0, left_s=None, now=())
        token = None if following in (State.DONE, State.CANCELLED) else self.token
        if following is self.state:
            reason = reason or self.reason
        return replace(
            self, state=following, reason=reason, changed_at=time.time(), progress=progress, token=token
        )

    @property
    def is_over(self) -> bool:
        return self.state in OVER


class JobStore(Protocol):
    """Where jobs are kept, for all who may run them."""

    def all(self) -> Sequence[Job]:
        """The latest first."""

    def get(self, id: str) -> Job:
        """Raises JobNotFound."""

    def add(self, job: Job) -> None: ...

    def update(self, id: str, change: Callable[[Job], Job]) -> Job:
        """What *change* makes of the job as it is now, kept. Raises JobNotFound, and what *change* does."""


class Claims(Protocol):
    """The right to work on a key for now, among all who might: leases.Leases on one node."""

    def try_acquire(self, key: str) -> AbstractContextManager[object] | None:
        """None while somebody else has it."""

    def acquire(self, key: str, *, timeout_s: float) -> AbstractContextManager[object] | None: ...


def new_job(
    wish: Wish, *, origin: str = "request", address: str = "", token: str | None = None, nodes: str = ""
) -> Job:
    now = time.time()
    # In the order of time when sorted by name.
    id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}"
    return Job(id, wish, State.QUEUED, now, now, origin=origin, address=address, token=token, nodes=nodes)


def told(job: Job) -> dict[str, Any]:
    """The job as it is told to people and programs; of its token only whether there is one."""
    wish = job.wish
    return {
        "id": job.id,
        "state": job.state.value,
        "reason": job.reason,
        "repo": wish.repo.id,
        "type": wish.repo.type,
        "revision": wish.revision,
        "include": list(wish.include),
        "exclude": list(wish.exclude),
        "origin": job.origin,
        "has_token": job.token is not None,
        "created_at": job.created_at,
        "changed_at": job.changed_at,
        "progress": asdict(job.progress),
        "nodes": job.nodes or None,
        "shares": [{**asdict(share), "state": share.state.value} for share in job.shares],
    }


def is_id(text: str) -> bool:
    return _ID.match(text) is not None


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path, f"{each}*" if each.endswith("/") else each) for each in patterns)
