"""Why a queued job does not start, if there is a reason that its client can be told."""

from collections.abc import Sequence

from app.core.db.jobs import Job
from app.core.db.workers import WorkerRow
from app.domain.documents import JobSpec
from app.domain.documents.plan import Plan
from app.domain.documents.versions import version_of
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
    able = [worker for worker in takers if _understands(worker, job)]
    if not able:
        return (
            f"All running workers are of an earlier version than this job, whose method is {job.method!r}. "
            "Update the workers."
        )
    problems = [worker.problem for worker in able]
    if None not in problems:
        return f"No worker can take the job at the moment: {problems[0]}"
    return None


def _understands(worker: WorkerRow, job: Job) -> bool:
    spec, plan = JobSpec.document_name, Plan.document_name
    return (
        job.method in worker.methods
        and version_of(job.spec) <= worker.documents.get(spec, 1)
        and version_of(job.plan or {}) <= worker.documents.get(plan, 1)
    )
