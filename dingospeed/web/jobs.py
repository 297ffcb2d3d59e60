"""Warm-up jobs over HTTP: created, listed, shown, paused, resumed, cancelled, followed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response
from pydantic import Field

from dingospeed.config.kinds import RepoName, RevisionName, Secret, Text
from dingospeed.model import REPO_TYPES, Caller, RepoRef, RepoType
from dingospeed.upkeep.jobs import Act, Job, JobNotFound, JobStore, Wish
from dingospeed.upkeep.planning import Plan
from dingospeed.web import replies
from dingospeed.web.asking import address, services
from dingospeed.web.auth import check_admin
from dingospeed.web.bodies import Asked, body_as

blueprint = Blueprint("jobs", __name__)

_PATTERNS = "a list of at most 100 patterns of paths"
_TOKEN = "null, or a token of printable ASCII characters"  # noqa: S105
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

    def wish(self) -> Wish:
        return Wish(RepoRef.parse(self.type, self.repo), self.revision, self.include, self.exclude)

    def caller(self) -> Caller:
        return Caller(self.token.get_secret_value() if self.token is not None else None, address())


class ResumeAsked(Asked):
    token: Secret | None = Field(default=None, max_length=1024, description=_TOKEN)


@blueprint.get("/-/jobs")
def all_jobs() -> Response:
    check_admin()
    return replies.as_json({"jobs": [shown(job) for job in services().warm_up.warmups.jobs.all()]})


@blueprint.post("/-/jobs")
def create() -> Response:
    """201 for a new job, 200 for the one that does the same already."""
    check_admin()
    asked = body_as(WarmUpAsked)
    job, is_new = services().warm_up.warmups.begin(asked.wish(), asked.caller())
    response = replies.as_json(shown(job), status=201 if is_new else 200)
    response.headers["Location"] = f"/-/jobs/{job.id}"
    return response


@blueprint.post("/-/jobs/plan")
def plan() -> Response:
    """What a job would fetch; nothing is fetched."""
    check_admin()
    asked = body_as(WarmUpAsked)
    warmups = services().warm_up.warmups
    planned = warmups.plan(asked.wish(), asked.caller())
    return replies.as_json(shown_plan(planned, warmups.held(planned)))


@blueprint.get("/-/jobs/<job_id>")
def show(job_id: str) -> Response:
    check_admin()
    return replies.as_json(shown(services().warm_up.warmups.jobs.get(job_id)))


@blueprint.post("/-/jobs/<job_id>/pause")
def pause(job_id: str) -> Response:
    check_admin()
    return replies.as_json(shown(services().warm_up.warmups.act(job_id, Act.PAUSE)))


@blueprint.post("/-/jobs/<job_id>/resume")
def resume(job_id: str) -> Response:
    check_admin()
    asked = body_as(ResumeAsked)
    token = asked.token.get_secret_value() if asked.token is not None else None
    return replies.as_json(shown(services().warm_up.warmups.act(job_id, Act.RESUME, token=token)))


@blueprint.post("/-/jobs/<job_id>/cancel")
def cancel(job_id: str) -> Response:
    check_admin()
    return replies.as_json(shown(services().warm_up.warmups.act(job_id, Act.CANCEL)))


@blueprint.get("/-/jobs/<job_id>/events")
def events(job_id: str) -> Response:
    """Server-sent events, one whenever the job has changed, until it is over."""
    check_admin()
    jobs = services().warm_up.warmups.jobs
    first = jobs.get(job_id)
    # nginx would collect them until its buffer is full.
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return Response(_events(jobs, first), content_type="text/event-stream; charset=utf-8", headers=headers)


def shown(job: Job) -> dict[str, Any]:
    """The job as it is told; of its token only whether there is one."""
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
    }


def shown_plan(plan: Plan, held: dict[str, int]) -> dict[str, Any]:
    """*held*: bytes of each content, by its etag."""
    sizes = {meta.blob.etag: meta.blob.size for meta in plan.files}
    return {
        "repo": plan.repo.id,
        "type": plan.repo.type,
        "commit": plan.commit,
        "bytes": sum(sizes.values()),
        "bytes_held": sum(held.values()),
        "files": [
            {"path": meta.path, "size": meta.blob.size, "held": held[meta.blob.etag]} for meta in plan.files
        ],
    }


def _events(jobs: JobStore, job: Job) -> Iterator[bytes]:
    yield _event(job)
    told_at = time.monotonic()
    while not job.is_over:
        time.sleep(_LOOK_S)
        try:
            seen = jobs.get(job.id)
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
    return f"event: job\ndata: {json.dumps(shown(job), ensure_ascii=False)}\n\n".encode()
