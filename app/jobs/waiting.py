"""Why a queued job does not start, if there is a reason that its client can be told."""

from collections.abc import Sequence

from app.core.db.jobs import Job
from app.core.db.workers import WorkerRow
from app.domain.job_states import JobStatus


def why_it_waits(job: Job, workers: Sequence[WorkerRow]) -> str | None:
    """A sentence; None for a job that is not queued, and where all it needs is its turn.

    Args:
        job: any job.
        workers: all that are alive.
    """
    if job.status is not JobStatus.QUEUED:
        return None
    takers = [worker for worker in workers if job.queue in worker.queues]
    if not takers:
        return f"No worker is running that takes jobs from the queue {job.queue!r}."
    if not any(job.method in worker.methods for worker in takers):
        return f"No running worker supports the method {job.method!r}: they are of an earlier version."
    problems = [worker.problem for worker in takers if job.method in worker.methods]
    if None not in problems:
        return f"No worker can take the job at the moment: {problems[0]}"
    return None
