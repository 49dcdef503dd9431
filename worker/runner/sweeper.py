"""Looking after jobs that no worker takes care of, and removing what ended jobs left."""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from app.core.db import WriteSession, after_commit
from app.core.db.checkpoints import forget_checkpoint, unneeded_checkpoints
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
    lost: list[tuple[str, int]] = []
    for job_id in expired:
        with _going_on("job %s could not be put back", job_id), worker.database.transaction() as session:
            attempt = release_expired(worker, session, job_id)
            if attempt is not None:
                after_commit(session, partial(lost.append, (job_id, attempt)))
    with worker.database.transaction() as session:
        unannounced = unannounced_jobs(session, older_than=worker.settings.announce_again)
    for job_id in unannounced:
        with _going_on("job %s could not be announced", job_id), worker.database.transaction() as session:
            _announce_again(worker, session, job_id)
    _remove_old_workdirs(worker)
    _remove_abandoned(worker.settings.cache_dir)
    for job_id, attempt in lost:  # last, because a store that is away takes its time
        clear_output(worker, job_id, attempt)
    with _going_on("checkpoints could not be deleted"):
        _delete_unneeded_checkpoints(worker)


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


def release_expired(worker: Worker, session: WriteSession, job_id: str) -> int | None:
    """Queue or end a job whose lease has run out; the number of the lost attempt, if there is one."""
    job = lock_expired_job(session, job_id)
    if job is None:
        return None
    logger.warning("job %s: attempt %d was lost with %s", job.id, job.attempt, job.lease_owner)
    retry_or_fail(session, worker.settings, job, _WORKER_LOST)
    return job.attempt


def _delete_unneeded_checkpoints(worker: Worker) -> None:
    """Their files, then their rows: what the store does not delete now is tried again."""
    with worker.database.reading() as session:
        unneeded = unneeded_checkpoints(session)
    if unneeded:
        worker.storage.delete_files([checkpoint.key for checkpoint in unneeded])
        with worker.database.transaction() as session:
            for checkpoint in unneeded:
                forget_checkpoint(session, checkpoint)


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
