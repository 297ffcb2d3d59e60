"""Warm-up: jobs taken, and run one after the other until all their bytes are held.

Any number of processes may have a runner; whoever gets a job's lease runs it, and when it dies the
next one goes on from what is held.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

from dingospeed.errors import DingospeedError, Offline, StoreError, UpstreamError
from dingospeed.model import Caller
from dingospeed.store.blobs import Blobs
from dingospeed.upkeep.fetching import Fetching, Kitchen
from dingospeed.upkeep.jobs import (
    RUNNABLE,
    Act,
    Claims,
    Job,
    JobNotFound,
    JobStore,
    NotNow,
    Progress,
    State,
    Wish,
    new_job,
)
from dingospeed.upkeep.planning import Plan, Planner
from dingospeed.upkeep.tokens import Tokens

log = logging.getLogger(__name__)

# Together they have the places of one pace, so a job that waits for its upstream holds up no other.
_AT_ONCE = 4
_PLAN_AGAIN_S = 5.0
_AGAIN_S = 60.0
_PATIENCE_S = 5.0
TOKEN_GONE = "the token it was given is gone, as the mirror was restarted: resume it with the token"  # noqa: S105


class Warmups:
    """Takes jobs, for whoever runs them."""

    def __init__(
        self, *, jobs: JobStore, planner: Planner, blobs: Blobs, tokens: Tokens, claims: Claims
    ) -> None:
        self.jobs = jobs
        self._planner = planner
        self._blobs = blobs
        self._tokens = tokens
        self._claims = claims

    def plan(self, wish: Wish, caller: Caller) -> Plan:
        """What would be fetched. Raises a Refusal or UpstreamError."""
        return self._planner.plan(wish, caller)

    def held(self, plan: Plan) -> dict[str, int]:
        """How much is held of each content of *plan*, by its etag."""
        return {meta.blob.etag: self._blobs.held_bytes(meta.blob) for meta in plan.files}

    def check(self, wish: Wish, caller: Caller) -> None:
        """Raises the Refusal of a wish that is not granted to *caller*; when nobody can tell, it is taken."""
        self._planner.check(wish.repo)
        try:
            self.plan(wish, caller)
        except UpstreamError as error:
            log.info("warm-up of %s is taken unseen: %s", wish.repo, error)

    def begin(self, wish: Wish, caller: Caller, *, origin: str = "request") -> tuple[Job, bool]:
        """The job for *wish*, and whether it is new: one that is not over goes on instead.

        A wish that the upstream refuses to *caller* raises its Refusal; when nobody can tell, the job waits.
        """
        self.check(wish, caller)
        sealed = self._tokens.seal(caller.token) if caller.token is not None else None
        lease = self._claims.acquire("new-job", timeout_s=_PATIENCE_S)
        if lease is None:
            raise StoreError("others take jobs all the time")
        with lease:
            same = next((job for job in self.jobs.all() if _is_for(job, wish)), None)
            if same is None:
                job = new_job(wish, origin=origin, address=caller.address, token=sealed)
                self.jobs.add(job)
                return job, True
        # What somebody paused on purpose only somebody resumes.
        if origin != "request" and same.reason != TOKEN_GONE:
            return same, False
        return self.act(same.id, Act.RESUME, token=caller.token), False

    def act(self, id: str, act: Act, *, token: str | None = None, reason: str = "") -> Job:
        """Pause, resume or cancel; a job is resumed with a new *token* if there is one.

        Raises JobNotFound, NotNow.
        """
        sealed = self._tokens.seal(token) if token is not None else None

        def change(job: Job) -> Job:
            after = job.after(act, reason)
            return replace(after, token=sealed) if sealed is not None else after

        return self.jobs.update(id, change)


def _is_for(job: Job, wish: Wish) -> bool:
    # A share of a job of the group comes and goes as the group wants.
    return job.wish == wish and not job.is_over and not job.nodes


class Runner:
    """Runs jobs of *jobs*."""

    def __init__(
        self, *, jobs: JobStore, planner: Planner, kitchen: Kitchen, tokens: Tokens, claims: Claims
    ) -> None:
        self._jobs = jobs
        self._planner = planner
        self._kitchen = kitchen
        self._tokens = tokens
        self._claims = claims
        self._running: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._lock = threading.Lock()

    def begin_all(self) -> None:
        """Begin what waits, the oldest first, as far as there is room. A chore."""
        for job in reversed(self._jobs.all()):
            if job.state not in RUNNABLE or self._not_before.get(job.id, 0.0) > time.monotonic():
                continue
            with self._lock:
                if job.id in self._running or len(self._running) >= _AT_ONCE:
                    continue
                self._running.add(job.id)
            threading.Thread(target=self._run_here, args=(job.id,), name="warm-up", daemon=True).start()

    def run(self, id: str) -> bool:
        """Run a job to its end, here and now. False when another process is at it."""
        lease = self._claims.try_acquire(f"job {id}")
        if lease is None:
            return False
        with lease:
            self._run(id)
        return True

    def _run_here(self, id: str) -> None:
        try:
            self.run(id)
        except DingospeedError as error:
            # Its state could not be kept: better luck later.
            log.error("job %s: %s", id, error)
            self._not_before[id] = time.monotonic() + _AGAIN_S
        except Exception:
            log.exception("job %s", id)
            self._not_before[id] = time.monotonic() + _AGAIN_S
        finally:
            with self._lock:
                self._running.discard(id)

    def _run(self, id: str) -> None:
        try:
            job = self._jobs.update(id, lambda job: job.after(Act.BEGIN))
        except (NotNow, JobNotFound):
            return
        token = self._tokens.open(job.token) if job.token is not None else None
        if job.token is not None and token is None:
            self._end(id, Act.PAUSE, TOKEN_GONE)
            return
        caller = Caller(token, job.address)
        try:
            plan = self._plan(job, caller)
            if plan is None:
                return
            log.info("warm-up of %s at %s: %d files", plan.repo, plan.commit[:12], len(plan.files))
            progress = Fetching(self._kitchen, plan, caller).run(
                lambda progress, why: self._told(id, progress, why)
            )
        except DingospeedError as error:
            log.warning("job %s failed: %s", id, error)
            self._end(id, Act.FAIL, str(error))
        except Exception as error:
            log.exception("job %s", id)
            self._end(id, Act.FAIL, f"an error nobody foresaw: {type(error).__name__}")
        else:
            if self._told(id, progress, ""):
                self._end(id, Act.FINISH)
                log.info("warm-up of %s is done", plan.repo)

    def _plan(self, job: Job, caller: Caller) -> Plan | None:
        """As soon as the upstream answers; None when the job is not to go on before that."""
        deadline = time.monotonic() + self._kitchen.patience_s
        while True:
            try:
                return self._planner.plan(job.wish, caller)
            except Offline:
                raise
            except UpstreamError as error:
                if time.monotonic() > deadline:
                    raise
                if not self._told(job.id, job.progress, f"trying again: {error}"):
                    return None
            if not self._sleep(job.id, _PLAN_AGAIN_S):
                return None

    def _sleep(self, id: str, seconds: float) -> bool:
        """Whether the job still is to run after that time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.25)
            if self._jobs.get(id).state is not State.RUNNING:
                return False
        return True

    def _told(self, id: str, progress: Progress, why: str) -> bool:
        """Keep how far the job is; whether it is to go on."""

        def change(job: Job) -> Job:
            if job.state is not State.RUNNING:
                return job
            return replace(job, progress=progress, reason=why, changed_at=time.time())

        try:
            return self._jobs.update(id, change).state is State.RUNNING
        except JobNotFound:
            return False

    def _end(self, id: str, act: Act, reason: str = "") -> None:
        try:
            self._jobs.update(id, lambda job: job.after(act, reason))
        except (NotNow, JobNotFound):
            log.debug("job %s was ended by somebody else", id)
