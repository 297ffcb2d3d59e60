"""Warm-up jobs over HTTP: created, listed, shown, paused, resumed, cancelled, followed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from flask import Blueprint, Response
from pydantic import Field

from dingospeed.config.kinds import RepoName, RevisionName, Secret, Text
from dingospeed.errors import Refusal
from dingospeed.model import REPO_TYPES, Caller, RepoRef, RepoType
from dingospeed.services.watch import Watch
from dingospeed.upkeep.desk import Desk
from dingospeed.upkeep.jobs import Act, Job, JobNotFound, Wish, told
from dingospeed.web import asking, replies
from dingospeed.web.asking import services
from dingospeed.web.auth import check_admin
from dingospeed.web.bodies import Asked, Unfit, body_as
from dingospeed.web.watching import TooManyListeners

blueprint = Blueprint("jobs", __name__)

_PATTERNS = "a list of at most 100 patterns of paths"
_TOKEN = "null, or a token of printable ASCII characters"  # noqa: S105
_NODES = 'null, "all", a whole number from 1 on, or names of nodes with commas between'
_NODE = r"[A-Za-z0-9][A-Za-z0-9._:\[\]-]*"
_NODES_LIKE = rf"^{_NODE}(,{_NODE})*$"
_LOOK_S = 0.25
# Within what clients and proxies bear.
_SIGN_OF_LIFE_S = 15.0


class WarmUpAsked(Asked):
    repo: RepoName = Field(description='the name of a repo, "org/name"')
    type: RepoType = Field(default="models", description=f"one of {', '.join(REPO_TYPES)}")
    revision: RevisionName = Field(default="main", description="a branch, a tag or a commit")
    include: tuple[Text, ...] = Field(default=(), max_length=100, description=_PATTERNS)
    exclude: tuple[Text, ...] = Field(default=(), max_length=100, description=_PATTERNS)
    token: Secret | None = Field(default=None, max_length=1024, description=_TOKEN)
    nodes: Text | None = Field(default=None, max_length=1024, pattern=_NODES_LIKE, description=_NODES)

    def wish(self) -> Wish:
        return Wish(RepoRef.parse(self.type, self.repo), self.revision, self.include, self.exclude)

    def caller(self) -> Caller:
        token = self.token.get_secret_value() if self.token is not None else None
        return Caller(token, asking.asked().address)


class ResumeAsked(Asked):
    token: Secret | None = Field(default=None, max_length=1024, description=_TOKEN)


@blueprint.get("/-/jobs")
def all_jobs() -> Response:
    check_admin()
    return replies.as_json({"jobs": [told(job) for job in services().upkeep.desk.all()]})


@blueprint.post("/-/jobs")
def create() -> Response:
    """201 for a new job, 200 for the one that does the same already."""
    check_admin()
    asked = body_as(WarmUpAsked)
    with _about(asked.repo):
        job, is_new = services().upkeep.desk.begin(asked.wish(), asked.caller(), asked.nodes)
    response = replies.as_json(told(job), status=201 if is_new else 200)
    response.headers["Location"] = f"/-/jobs/{job.id}"
    return response


@blueprint.post("/-/plans")
def plan() -> Response:
    """What a job would fetch; nothing is fetched."""
    check_admin()
    asked = body_as(WarmUpAsked)
    desk = services().upkeep.desk
    with _about(asked.repo):
        planned = desk.plan(asked.wish(), asked.caller(), asked.nodes)
    return replies.as_json(planned.told(desk.held(planned)))


@blueprint.get("/-/jobs/<job_id>")
def show(job_id: str) -> Response:
    check_admin()
    return replies.as_json(told(services().upkeep.desk.get(job_id)))


@blueprint.post("/-/jobs/<job_id>/pause")
def pause(job_id: str) -> Response:
    check_admin()
    return replies.as_json(told(services().upkeep.desk.act(job_id, Act.PAUSE)))


@blueprint.post("/-/jobs/<job_id>/resume")
def resume(job_id: str) -> Response:
    check_admin()
    asked = body_as(ResumeAsked)
    token = asked.token.get_secret_value() if asked.token is not None else None
    return replies.as_json(told(services().upkeep.desk.act(job_id, Act.RESUME, token=token)))


@blueprint.post("/-/jobs/<job_id>/cancel")
def cancel(job_id: str) -> Response:
    check_admin()
    return replies.as_json(told(services().upkeep.desk.act(job_id, Act.CANCEL)))


@blueprint.get("/-/jobs/<job_id>/events")
def events(job_id: str) -> Response:
    """Server-sent events, one whenever the job has changed, until it is over."""
    check_admin()
    parts = services()
    first = parts.upkeep.desk.get(job_id)
    if not parts.upkeep.watch.listeners.acquire(blocking=False):
        raise TooManyListeners()
    # nginx would collect them until its buffer is full.
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache, no-transform"}
    stream = _Following(parts.upkeep.desk, first, parts.upkeep.watch)
    return Response(stream, headers=headers, content_type="text/event-stream; charset=utf-8")


class _Following:
    """The events of a job for one listener, until it is over or the worker is to stop."""

    def __init__(self, desk: Desk, job: Job, watch: Watch) -> None:
        self._watch = watch
        self._events = _events(desk, job, watch.pulse.stopped.wait)

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        """Called by the server, whatever the end was."""
        self._events.close()
        self._watch.listeners.release()


@contextmanager
def _about(repo: str) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise Unfit(repo, refusal) from refusal


def _events(desk: Desk, job: Job, is_stopped: Callable[[float], bool]) -> Generator[bytes, None, None]:
    yield _event(job)
    told_at = time.monotonic()
    while not job.is_over and not is_stopped(_LOOK_S):
        try:
            seen = desk.get(job.id)
        except JobNotFound:
            return
        if seen != job:
            job = seen
            yield _event(job)
        elif time.monotonic() - told_at >= _SIGN_OF_LIFE_S:
            yield b":\n\n"
        else:
            continue
        told_at = time.monotonic()


def _event(job: Job) -> bytes:
    return f"event: job\ndata: {json.dumps(told(job), ensure_ascii=False)}\n\n".encode()
