"""Looking after jobs that no worker takes care of, and removing what ended jobs left."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from app.core.db import DATABASE_UNAVAILABLE, WriteSession, after_commit
from app.core.db.job_queue import expired_jobs, lock_expired_job
from app.domain.errors import NewerVersion
from worker.runner.conclusion import clear_output
from worker.runner.expired_rows import remove_expired_rows
from worker.runner.leftovers import remove
from worker.runner.local_leftovers import work_folders
from worker.runner.prefixes import output_prefix
from worker.runner.protocol import Failed
from worker.runner.retries import retry_or_fail
from worker.runner.searches import advance_all
from worker.runner.worker import LEASE_LOSSES, Worker

logger = logging.getLogger(__name__)

WORKER_LOST = "worker_lost"
_WORKER_LOST = Failed(
    code=WORKER_LOST,
    message="The worker that ran the job did not renew its lease: its machine or its connection to the "
    "database failed. If it happens again, look at the worker's log and memory.",
    retryable=True,
)


def sweep(worker: Worker) -> None:
    """Put back jobs whose worker is lost, remove what ended jobs left."""
    with worker.database.transaction() as session:
        expired = expired_jobs(session)
    lost: list[str] = []
    for job_id in expired:
        with _going_on("job %s could not be put back", job_id), worker.database.transaction() as session:
            output = release_expired(worker, session, job_id)
            if output is not None:
                after_commit(session, partial(lost.append, output))
    with _going_on("searches could not be advanced"):
        advance_all(worker)
    remove(work_folders(worker))
    with _going_on("expired rows could not be removed"):
        remove_expired_rows(worker)
    for output in lost:  # last, because a store that is away takes its time
        if not clear_output(worker, output):
            break


@contextmanager
def _going_on(message: str, *arguments: object) -> Iterator[None]:
    """What fails for one job is logged, and the others have their turn."""
    try:
        yield
    except NewerVersion as error:
        logger.info("left to workers of a later version: %s", error.message)
    except DATABASE_UNAVAILABLE:
        raise  # nothing else would fare better
    except Exception:
        logger.exception(message, *arguments)


def release_expired(worker: Worker, session: WriteSession, job_id: str) -> str | None:
    """Queue or end a job whose lease has run out; the output prefix of the lost attempt, if there is one."""
    job = lock_expired_job(session, job_id)
    if job is None:
        return None
    worker.activity.counts[LEASE_LOSSES] += 1
    logger.warning("job %s: attempt %d was lost with %s", job.id, job.attempt, job.lease_owner)
    retry_or_fail(session, worker.settings, job, _WORKER_LOST)
    return output_prefix(job)
