"""Creating and cancelling jobs."""

from typing import NamedTuple

from sqlalchemy.exc import IntegrityError

from app.core.db import ProjectWriteSession, after_commit
from app.core.db.base import database_time
from app.core.db.datasets import lock_dataset
from app.core.db.jobs import Job, append_event, find_by_idempotency_key, lock_job, move
from app.core.db.models import lock_model
from app.core.db.usage import require_place_in_queue, require_room
from app.core.queue import Queue
from app.domain.documents import JobSpec
from app.domain.documents.events import StatusChange
from app.domain.errors import Conflict, InvalidRequest
from app.domain.job_states import JobStatus
from app.jobs.planning import plan_job


class IdempotencyKey(NamedTuple):
    """What a client calls a request by, to send it twice and have it done once."""

    key: str
    fingerprint: str
    """Of the body as it was sent."""


def create_job(
    session: ProjectWriteSession, queue: Queue, spec: JobSpec, key: IdempotencyKey | None
) -> tuple[Job, bool]:
    """Queue a job, or find the one that the same key created; whether it was found.

    Raises:
        NotFound: the teacher, the data set or the small model does not exist.
        InvalidRequest: they do not fit one another, or the key came with another body before.
        Conflict: the teacher has no head for the task.
        Forbidden: the project may store no more.
        RateLimited: it may have no more jobs queued.
    """
    if key and (earlier := find_by_idempotency_key(session, key.key)):
        return _replay(earlier, key), True
    _keep_inputs(session, spec)
    planned = plan_job(session, spec)
    require_room(session)  # for the student
    require_place_in_queue(session)
    job = Job(
        spec=planned.spec.to_stored(),
        plan=planned.plan.to_stored(),
        inputs={given.role: given.model_id for given in spec.inputs},
        dataset_id=spec.dataset,
        method=spec.method.name,
        queue=queue.name,
        idempotency_key=key and key.key,
        request_fingerprint=key and key.fingerprint,
    )
    try:
        with session.begin_nested():
            session.add(job)
    except IntegrityError:
        # Two requests with one key at once: the other was first, and its row is there by now.
        earlier = find_by_idempotency_key(session, key.key) if key else None
        if key is None or earlier is None:
            raise
        return _replay(earlier, key), True
    append_event(session, job.id, StatusChange(status=job.status, attempt=job.attempt))
    after_commit(session, lambda: queue.announce(job.id, job.queue))
    return job, False


def cancel_job(session: ProjectWriteSession, job_id: str) -> Job:
    """End a queued job, or ask the worker of a running one to stop.

    Raises:
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
    if job.cancel_requested_at is None:
        job.cancel_requested_at = database_time(session)
    if job.status is JobStatus.QUEUED:
        move(session, job, JobStatus.CANCELLED)
    return job


def _keep_inputs(session: ProjectWriteSession, spec: JobSpec) -> None:
    """Keep what the job needs from being deleted until its row is there to protect it."""
    for given in spec.inputs:
        lock_model(session, given.model_id, "share")
    lock_dataset(session, spec.dataset, "share")


def _replay(earlier: Job, key: IdempotencyKey) -> Job:
    # Rows without one are older than such fingerprints: whether the body was the same cannot be said.
    if earlier.request_fingerprint not in (None, key.fingerprint):
        raise InvalidRequest(
            "idempotency_key_reused",
            f"This Idempotency-Key was used before with a different body and created {earlier.id}. Use a "
            "new key.",
            job=earlier.id,
        )
    return earlier
