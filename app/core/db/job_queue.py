"""The queue: which jobs wait, who takes one, who holds it and for how long."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Select, TextClause, func, or_, select
from sqlalchemy.orm import aliased

from app.core.db.base import DatabaseTime, database_time
from app.core.db.jobs import QUEUED, Job, lock_job_of_any_project, move
from app.core.db.projects import Project
from app.core.db.session import ReadSession, WriteSession
from app.core.settings import DEFAULT_QUEUE
from app.domain.documents.auto import AUTO
from app.domain.job_states import JobStatus

_Condition: TypeAlias = ColumnElement[bool] | TextClause


def claim_job(
    session: WriteSession,
    job_id: str,
    *,
    owner: str,
    lease: timedelta,
    accepts: Callable[[Job], bool] = lambda _: True,
) -> Job | None:
    """Take a queued job for ``owner``, who may look at it first.

    None when somebody else has it, or its row, or it has ended, or it is too early to try it again, or its
    project runs as many as it may, or the owner does not accept it. Nobody holds a search.
    """
    job = _lock_if_free(session, Job.id == job_id, Job.method != AUTO, *_may_be_tried())
    if job is None or not _may_run_another(session, job.project_id) or not accepts(job):
        return None
    job.attempt += 1
    job.error_code = job.error_message = None
    job.lease_owner = owner
    job.lease_expires_at = database_time(session) + lease
    move(session, job, JobStatus.RUNNING)
    return job


def queue_again(session: WriteSession, job: Job, *, code: str, message: str, delay: timedelta) -> None:
    """Queue a locked job whose attempt failed, to be tried again after a while; a sweep then announces it."""
    retry_at = database_time(session) + delay
    move(session, job, JobStatus.QUEUED, reason=code, message=message, retry_at=retry_at)
    job.retry_at, job.announced_at = retry_at, None
    job.error_code, job.error_message = code, message


def hold_lease(session: WriteSession, job_id: str, *, attempt: int, lease: timedelta) -> Job | None:
    """Renew the lease of an attempt and return its locked row; None once the attempt has lost the job."""
    job = lock_job_of_any_project(session, job_id)
    if job.status_text != JobStatus.RUNNING or job.attempt != attempt:
        return None
    expires_at = database_time(session) + lease
    if job.lease_expires_at is not None:
        job.running_s += max(0.0, (expires_at - job.lease_expires_at).total_seconds())
    job.lease_expires_at = expires_at
    return job


def expired_jobs(session: ReadSession) -> Sequence[str]:
    """Running jobs whose worker has not been heard of for a lease."""
    return session.scalars(
        select(Job.id).where(Job.status == JobStatus.RUNNING, Job.lease_expires_at < database_time(session))
    ).all()


def lock_expired_job(session: WriteSession, job_id: str) -> Job | None:
    """The locked row of a job whose lease has run out.

    None when it has not: another sweep was first, or the job's worker is back. None, too, when another
    transaction holds the row: it may belong to a frozen process, which is not worth waiting for.
    """
    return _lock_if_free(
        session,
        Job.id == job_id,
        Job.status == JobStatus.RUNNING,
        Job.lease_expires_at < database_time(session),
    )


def count_queued(session: ReadSession, queue: str) -> int:
    """Jobs of a queue that wait for nothing but a worker."""
    query = select(func.count()).select_from(Job).where(Job.queue == queue, *_may_be_tried())
    return session.scalar(query) or 0


class QueueState(NamedTuple):
    """Jobs of a queue that wait for nothing but a worker."""

    jobs: int
    oldest_s: float
    """How long the first of them has waited."""


def queue_states(session: ReadSession) -> Mapping[str, QueueState]:
    """By queue, of those that have such jobs."""
    since = func.min(func.coalesce(Job.retry_at, Job.queued_at, Job.created_at))
    rows = session.execute(select(Job.queue, func.count(), since).where(*_may_be_tried()).group_by(Job.queue))
    now = database_time(session)
    return {queue: QueueState(count, (now - oldest).total_seconds()) for queue, count, oldest in rows}


def unannounced_jobs(
    session: ReadSession, queue: str, *, older_than: timedelta, limit: int = 100
) -> Sequence[str]:
    """Queued jobs that were not announced within the time given; those that never were come first."""
    return session.scalars(
        select(Job.id)
        .where(Job.queue == queue, *_is_unannounced(session, older_than))
        .order_by(Job.announced_at.nulls_first())
        .limit(limit)
    ).all()


def lock_unannounced_job(session: WriteSession, job_id: str, *, older_than: timedelta) -> Job | None:
    """The locked row of such a job; None when it is none any more, or another transaction holds the row."""
    return _lock_if_free(session, Job.id == job_id, *_is_unannounced(session, older_than))


def next_queued_job(
    session: WriteSession, queues: Sequence[str] = (DEFAULT_QUEUE,), *, except_for: Collection[str] = ()
) -> str | None:
    """The oldest job that can be claimed.

    Its row is free, it is not too early to try it again, and its project may run one more.
    """
    conditions = (Job.queue.in_(queues), Job.id.not_in(except_for), Job.method != AUTO, *_may_be_tried())
    query = select(Job.id).where(*conditions, Job.project_id.not_in(_full_projects()))
    return session.scalar(query.order_by(Job.id).limit(1).with_for_update(skip_locked=True, of=Job))


def _full_projects() -> Select[str]:
    """Ids of projects that run as many jobs as they may."""
    other = aliased(Job)
    running = select(func.count()).where(
        other.project_id == Project.id, other.status == JobStatus.RUNNING, other.method != AUTO
    )
    limit = Project.max_running_jobs
    return select(Project.id).where(limit.is_not(None), limit <= running.scalar_subquery())


def _may_run_another(session: WriteSession, project_id: str) -> bool:
    """Whether a project may run one more job; nobody else is told so until the transaction ends.

    No, too, where another worker is just taking one of the project's: that is over in a moment.
    """
    limited = Project.id == project_id, Project.max_running_jobs.is_not(None)
    if session.scalar(select(Project.id).where(*limited)) is None:
        return True
    lock = select(Project.id).where(*limited).with_for_update(key_share=True, skip_locked=True)
    if session.scalar(lock) is None:
        return False
    return session.scalar(select(Project.id).where(*limited, Project.id.not_in(_full_projects()))) is not None


def _is_unannounced(session: ReadSession, older_than: timedelta) -> tuple[_Condition, ...]:
    is_old = Job.announced_at < database_time(session) - older_than
    return (*_may_be_tried(), or_(Job.announced_at.is_(None), is_old))


def _may_be_tried() -> tuple[_Condition, ...]:
    return QUEUED, or_(Job.retry_at.is_(None), Job.retry_at <= DatabaseTime())


def _lock_if_free(session: WriteSession, *conditions: _Condition) -> Job | None:
    """The one row, fresh and locked, of a job that meets conditions, unless another transaction holds it."""
    query = select(Job).where(*conditions).with_for_update(skip_locked=True)
    return session.scalar(query.execution_options(populate_existing=True))
