"""Looking after jobs that no worker takes care of, and removing what ended jobs left."""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.core.db import WriteSession, after_commit
from app.core.db.jobs import (
    expired_jobs,
    get_job,
    lock_expired_job,
    lock_unannounced_job,
    unannounced_jobs,
)
from app.domain.errors import NotFound, Unreadable
from worker.runner.conclusion import announce, clear_output
from worker.runner.protocol import Failed
from worker.runner.retries import retry_or_fail
from worker.runner.worker import Worker

logger = logging.getLogger(__name__)

WORKER_LOST = "worker_lost"
_WORKER_LOST = Failed(
    code=WORKER_LOST,
    message="The worker that ran the job did not renew its lease: its machine or its connection to the "
    "database failed. If it happens again, look at the worker's log and memory.",
    retryable=True,
)

_ABANDONED_S = 24 * 3600
"""Age at which a partial file of the cache is abandoned: no output takes so long to write."""


def sweep(worker: Worker) -> None:
    """Put back jobs whose worker is lost, announce again what none heard of, remove what ended jobs left."""
    with worker.database.transaction() as session:
        expired = expired_jobs(session)
    for job_id in expired:
        with _going_on("job %s could not be put back", job_id), worker.database.transaction() as session:
            release_expired(worker, session, job_id)
    with worker.database.transaction() as session:
        unannounced = unannounced_jobs(session, older_than=worker.settings.announce_again)
    for job_id in unannounced:
        with _going_on("job %s could not be announced", job_id), worker.database.transaction() as session:
            _announce_again(worker, session, job_id)
    _remove_old_workdirs(worker)
    _remove_abandoned(worker.settings.cache_dir)


@contextmanager
def _going_on(message: str, *arguments: object) -> Iterator[None]:
    """What fails for one job is logged, and the others have their turn."""
    try:
        yield
    except Exception:
        logger.exception(message, *arguments)


def _announce_again(worker: Worker, session: WriteSession, job_id: str) -> None:
    job = lock_unannounced_job(session, job_id, older_than=worker.settings.announce_again)
    if job is not None:
        announce(worker, session, job)


def release_expired(worker: Worker, session: WriteSession, job_id: str) -> None:
    job = lock_expired_job(session, job_id)
    if job is None:
        return
    logger.warning("job %s: attempt %d was lost with %s", job.id, job.attempt, job.lease_owner)
    attempt = job.attempt
    retry_or_fail(session, worker.settings, job, _WORKER_LOST)
    after_commit(session, lambda: clear_output(worker, job_id, attempt))


def _remove_old_workdirs(worker: Worker) -> None:
    """Work folders of jobs that ended elsewhere, or with their worker."""
    if not worker.settings.work_dir.is_dir():
        return
    for workdir in worker.settings.work_dir.iterdir():
        try:
            with worker.database.transaction() as session:
                is_needed = not get_job(session, workdir.name).status.is_terminal
        except NotFound:
            is_needed = False
        except Unreadable:
            is_needed = True  # a worker of another version knows more
        if not is_needed:
            shutil.rmtree(workdir, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    """What jobs had half written to the cache, which outlives them, when they were killed."""
    for path in cache.rglob("*.partial"):
        with suppress(FileNotFoundError):  # it has just become whole
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
