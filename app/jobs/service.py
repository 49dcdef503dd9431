"""Creating and cancelling jobs."""

from functools import partial

from app.core import telemetry
from app.core.db import ProjectWriteSession, after_commit
from app.core.db.base import database_time
from app.core.db.datasets import lock_dataset
from app.core.db.jobs import Job, append_event, lock_job, move
from app.core.db.models import lock_model
from app.core.db.usage import require_place_in_queue, require_room
from app.core.queue import Queue
from app.domain.documents import JobSpec
from app.domain.documents.events import StatusChange
from app.domain.documents.search import SearchState
from app.domain.errors import Conflict, InvalidRequest
from app.domain.job_states import JobStatus
from app.jobs.planning import plan_job


def create_job(
    session: ProjectWriteSession, queue: Queue, spec: JobSpec, *, search: SearchState | None = None
) -> Job:
    """Queue a job; a ``search`` was planned before the transaction, for that takes seconds.

    Raises:
        NotFound: the teacher, the data set or the small model does not exist.
        InvalidRequest: they do not fit one another.
        Conflict: the teacher has no head for the task.
        Forbidden: the project may store no more.
        RateLimited: it may have no more jobs queued.
    """
    _keep_inputs(session, spec)
    plan = None
    if search is None:
        planned = plan_job(session, spec)
        spec, plan = planned.spec, planned.plan.to_stored()
    require_room(session)  # for the student
    require_place_in_queue(session)
    job = Job(
        spec=spec.to_stored(),
        plan=plan,
        search=None if search is None else search.to_stored(),
        inputs={given.role: given.model_id for given in spec.inputs},
        dataset_id=spec.dataset,
        method=spec.method.name,
        queue=queue.name,
        trace_context=telemetry.traceparent(),
    )
    session.add(job)
    session.flush()
    append_event(session, job.id, StatusChange(status=job.status, attempt=job.attempt))
    after_commit(session, lambda: queue.announce(job.id, job.queue))
    return job


def cancel_job(
    session: ProjectWriteSession, job_id: str, *, queue: Queue | None = None, keep: bool = False
) -> Job:
    """End a queued job, or ask the worker of a running one to stop.

    A search is cancelled with its trials: whoever advances it next stops them.

    Args:
        session: a transaction.
        job_id: of any job.
        queue: by which a worker is told at once that a search is to stop; a sweep finds it without.
        keep: of a search: end it with what it has found so far.

    Raises:
        InvalidRequest: there is nothing to keep of a job that is no search.
        NotFound: there is no such job.
        Conflict: it has ended already.
    """
    job = lock_job(session, job_id)
    if job.status.is_terminal:
        raise Conflict(
            "job_already_finished",
            f"Job {job.id} has already finished with status {job.status} and cannot be cancelled.",
            status=job.status.value,
        )
    if keep and not job.is_search:
        raise InvalidRequest(
            "keep_not_supported",
            f"Job {job.id} is no search: a job of one method has no student before it ends. Omit keep.",
            parameter="keep",
        )
    if job.cancel_requested_at is None:
        job.cancel_requested_at = database_time(session)
    if job.status is JobStatus.QUEUED:
        move(session, job, JobStatus.CANCELLED)
    elif (search := job.read_search()) is not None and not search.is_over:
        job.write_search(search.model_copy(update={"stop": "keep" if keep else "cancel"}))
        if queue is not None:
            after_commit(session, partial(queue.announce, job.id, job.queue))
    return job


def _keep_inputs(session: ProjectWriteSession, spec: JobSpec) -> None:
    """Keep what the job needs from being deleted until its row is there to protect it."""
    for given in spec.inputs:
        lock_model(session, given.model_id, "share")
    lock_dataset(session, spec.dataset, "share")
