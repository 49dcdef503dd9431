"""Announcing again what the broker has lost, and nothing else: each message is one that a worker must read.

Apart from the sweeper, because a frozen broker takes its time to be found out.
"""

import logging
from datetime import timedelta

from app.core.db import WriteSession
from app.core.db.job_queue import count_queued, lock_unannounced_job, unannounced_jobs
from worker.runner.conclusion import announce
from worker.runner.worker import Worker

logger = logging.getLogger(__name__)

_AT_ONCE = 100


def announce_lost(worker: Worker) -> None:
    """Announce queued jobs for which the broker has no message."""
    for queue in worker.settings.queues:
        _announce_lost(worker, queue)


def _announce_lost(worker: Worker, queue: str) -> None:
    messages = worker.queue.length(queue)
    if messages is None:  # workers poll the table
        return
    # Announced so recently, a message may just be on its way; where there are others it may be one of them.
    window = worker.settings.announce_again if messages else worker.settings.sweep_interval
    with worker.database.reading() as session:
        missing = count_queued(session, queue) - messages
        if missing <= 0:
            return
        jobs = unannounced_jobs(session, queue, older_than=window, limit=min(missing, _AT_ONCE))
    for job_id in jobs:
        with worker.database.transaction() as session:
            _announce_again(worker, session, job_id, window)


def _announce_again(worker: Worker, session: WriteSession, job_id: str, window: timedelta) -> None:
    job = lock_unannounced_job(session, job_id, older_than=window)
    if job is not None:
        announce(worker, session, job)
