"""Whether a job whose attempt failed is tried again, and when."""

import random
from datetime import timedelta

from app.core.db import WriteSession
from app.core.db.job_queue import queue_again
from app.core.db.jobs import Job, move
from app.core.settings import Settings
from app.domain.documents.attempts import AttemptRecord
from app.domain.job_states import JobStatus
from worker.runner.machine_failures import STORAGE_UNAVAILABLE
from worker.runner.protocol import Failed


def retry_or_fail(session: WriteSession, settings: Settings, job: Job, failure: Failed) -> None:
    """Queue a locked job again after a failed attempt, or end it: cancelled or failed.

    Attempts that made progress do not count against the maximum. Those that ended because a service is away
    count apart: they say nothing about the job.
    """
    is_outage = failure.code == STORAGE_UNAVAILABLE
    record = job.read_attempt_record().failed(job.attempt, is_outage=is_outage)
    job.attempt_record = record.to_stored()
    if job.cancel_requested_at is not None:
        move(session, job, JobStatus.CANCELLED)
    elif not failure.retryable:
        fail(session, job, failure.code, failure.message)
    elif _is_exhausted(record, settings, is_outage=is_outage):
        count = record.outages if is_outage else record.failures
        fail(session, job, failure.code, f"{failure.message} {count} attempts in a row made no progress.")
    else:
        delay = retry_delay(record, settings)
        queue_again(session, job, code=failure.code, message=failure.message, delay=delay)


def fail(session: WriteSession, job: Job, code: str, message: str) -> None:
    job.error_code = code
    job.error_message = message
    move(session, job, JobStatus.FAILED, error={"code": code, "message": message})


def retry_delay(record: AttemptRecord, settings: Settings) -> timedelta:
    """Twice as long after each attempt without progress; at random, so that jobs do not come back at once."""
    doublings = min(32, max(0, record.failures + record.outages - 1))
    longest = min(settings.retry_delay * (1 << doublings), settings.max_retry_delay)
    return longest * random.uniform(0.5, 1)  # noqa: S311 - nothing secret


def _is_exhausted(record: AttemptRecord, settings: Settings, *, is_outage: bool) -> bool:
    if is_outage:
        return record.outages >= settings.max_outages
    return record.failures >= settings.max_attempts
