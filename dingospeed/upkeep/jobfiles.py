"""Jobs as documents of the cache, one file each, shared by all workers of the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dingospeed.errors import StoreError, StoreFull
from dingospeed.flight.leases import Leases
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout
from dingospeed.upkeep.jobs import Job, JobNotFound, is_id

_PATIENCE_S = 5
# Jobs that are over; those before are forgotten.
_KEPT_OVER = 200

_JOB: TypeAdapter[Job] = TypeAdapter(Job)


class JobFiles:
    """A JobStore under one *layout*."""

    def __init__(self, *, documents: Documents, layout: Layout, leases: Leases) -> None:
        self._documents = documents
        self._layout = layout
        self._leases = leases

    def all(self) -> list[Job]:
        paths = sorted(self._layout.job("x").parent.glob("*.json"), reverse=True)
        jobs = (self._read(path) for path in paths if is_id(path.stem))
        return [job for job in jobs if job is not None]

    def get(self, id: str) -> Job:
        job = self._read(self._layout.job(id)) if is_id(id) else None
        if job is None:
            raise JobNotFound()
        return job

    def add(self, job: Job) -> None:
        """Raises StoreFull."""
        self._write(job)
        over = [other for other in self.all() if other.is_over]
        for old in over[_KEPT_OVER:]:
            self._documents.delete(self._layout.job(old.id))

    def update(self, id: str, change: Callable[[Job], Job]) -> Job:
        """Raises StoreFull, and StoreError when others hold it for too long, too."""
        lease = self._leases.acquire(f"change-job {id}", timeout_s=_PATIENCE_S)
        if lease is None:
            raise StoreError(f"job {id} is being changed by others all the time")
        with lease:
            before = self.get(id)
            job = change(before)
            if job != before:
                self._write(job)
        return job

    def _read(self, path: Path) -> Job | None:
        document = self._documents.read(path)
        if document is None:
            return None
        try:
            return _JOB.validate_python(document.value)
        except ValidationError:
            return None

    def _write(self, job: Job) -> None:
        value: Any = _JOB.dump_python(job, mode="json")
        if not self._documents.write(self._layout.job(job.id), value):
            raise StoreFull(f"no space for job {job.id}")
