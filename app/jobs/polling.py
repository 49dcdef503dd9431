"""Reading single jobs for many who poll at once: one thread and one query serve all who wait."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from app.core.db import Database
from app.core.db.jobs import Job, find_jobs
from app.domain.errors import NotFound, Unreadable
from app.jobs.schemas import JobRead
from app.rows import read_row


class _Batch(NamedTuple):
    """Jobs that are read together."""

    ids: set[str]
    jobs: asyncio.Task[Mapping[str, bytes | Unreadable]]


class JobPolling:
    """Answers ``GET /v1/jobs/{id}``. Belongs to one event loop.

    Requests that come while a query runs wait for the next one: an answer is never older than its request,
    and a hundred clients cost little more than one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running = asyncio.Lock()
        self._thread = CapacityLimiter(1)  # its own: requests that hold all the others delay no poll
        self._next: _Batch | None = None

    async def read(self, job_id: str) -> bytes:
        """The job as JSON.

        Raises:
            NotFound: there is no such job.
            Unreadable: a later version of the service wrote its row, or it is damaged.
        """
        batch = self._next or self._begin_batch()
        batch.ids.add(job_id)
        jobs = await asyncio.shield(batch.jobs)  # others may wait for it when this client leaves
        if job_id not in jobs:
            raise NotFound("job", job_id)
        job = jobs[job_id]
        if isinstance(job, Unreadable):
            raise job
        return job

    def _begin_batch(self) -> _Batch:
        ids: set[str] = set()
        self._next = _Batch(ids, asyncio.create_task(self._read(ids)))
        return self._next

    async def _read(self, ids: set[str]) -> Mapping[str, bytes | Unreadable]:
        async with self._running:
            self._next = None
            return await run_sync(self._query, ids, limiter=self._thread)

    def _query(self, ids: set[str]) -> Mapping[str, bytes | Unreadable]:
        with self._database.reading() as session:
            jobs = find_jobs(session, ids)
        return {job.id: _as_json(job) for job in jobs}


def _as_json(job: Job) -> bytes | Unreadable:
    """The error is handed over: it is of one job, and others are in the same batch."""
    try:
        return read_row(JobRead.of, job).model_dump_json().encode()
    except Unreadable as error:
        return error
