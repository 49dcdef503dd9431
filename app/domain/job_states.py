"""The life of a job: which status may follow which."""

from enum import StrEnum
from typing import Protocol

from app.domain.errors import Conflict


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return not TRANSITIONS[self]


# A running job goes back to the queue when its worker is lost.
TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.QUEUED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


class HasStatus(Protocol):
    id: str
    status: JobStatus


def transition(job: HasStatus, to: JobStatus) -> None:
    """Move a job to another status; the only place where a status is assigned.

    Raises:
        Conflict: the table has no such step.
    """
    if to not in TRANSITIONS[job.status]:
        raise Conflict(
            "job_already_finished" if job.status.is_terminal else "illegal_transition",
            f"Job {job.id} is {job.status} and cannot become {to}.",
            status=job.status.value,
        )
    job.status = to
