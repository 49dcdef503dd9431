"""Announcing jobs. A message carries an id and may be lost: the row is the truth, the sweeper finds it."""

import logging

from celery import Celery
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

RUN_JOB = "jobs.run"
DEFAULT_QUEUE = "squeeze"


class Queue:
    """Sends announcements; without a broker it says nothing and workers poll the table."""

    def __init__(self, broker_url: str | None) -> None:
        self._celery = Celery(broker=broker_url, set_as_current=False) if broker_url else None
        if self._celery is not None:
            self._celery.conf.update(
                task_ignore_result=True,
                task_default_queue=DEFAULT_QUEUE,
                # One more try, at once: a connection kept since the last announcement may have gone stale.
                broker_transport_options={
                    "socket_connect_timeout": 2,
                    "socket_timeout": 5,
                    "max_retries": 1,
                    "interval_start": 0,
                    "interval_step": 0,
                },
            )

    def announce(self, job_id: str) -> None:
        """Tell some worker about a queued job; a broker that does not answer is logged, not raised."""
        if self._celery is None:
            return
        try:
            self._celery.send_task(RUN_JOB, [job_id], retry=False)
        except (OperationalError, OSError):
            logger.warning("could not announce job %s; the sweeper will retry", job_id, exc_info=True)

    def check(self) -> None:
        """Raise when there is a broker and it does not answer."""
        if self._celery is not None:
            with self._celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=2)
