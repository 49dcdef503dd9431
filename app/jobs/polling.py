"""Reading single jobs for many who poll at once."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from app.core.db import Database
from app.core.db.jobs import Job, find_jobs
from app.core.db.workers import WorkerRow, live_workers
from app.core.shared_reads import SharedReads
from app.domain.errors import NotFound, Unreadable
from app.jobs.schemas import JobRead
from app.rows import read_row


class _Asked(NamedTuple):
    """A job as a client of a project names it."""

    project_id: str
    job_id: str


class JobPolling:
    """Answers ``GET /v1/jobs/{id}``. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads = SharedReads(self._query)

    async def read(self, project_id: str, job_id: str) -> bytes:
        """The job as JSON, not older than the request.

        Raises:
            NotFound: the project has no such job.
            Unreadable: a later version of the service wrote its row, or it is damaged.
        """
        job = await self._reads.read(_Asked(project_id, job_id))
        if job is None:
            raise NotFound("job", job_id)
        if isinstance(job, Unreadable):
            raise job
        return job

    def _query(self, asked: set[_Asked]) -> Mapping[_Asked, bytes | Unreadable]:
        """Jobs under the project that each is of, and not under that of who asked."""
        with self._database.reading() as session:
            jobs = find_jobs(session, {job_id for _, job_id in asked})
            workers = live_workers(session)
        return {_Asked(job.project_id, job.id): _as_json(job, workers) for job in jobs}


def _as_json(job: Job, workers: Sequence[WorkerRow]) -> bytes | Unreadable:
    """The error is handed over: it is of one job, and others are in the same batch."""
    try:
        return read_row(partial(JobRead.of, workers=workers), job).model_dump_json().encode()
    except Unreadable as error:
        return error
