"""``squeeze worker``: jobs as they are announced, or from the table where there is no broker."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from app.core.db import Database
from app.core.logging import configure_logging
from app.core.queue import Queue
from app.core.settings import Settings, get_settings
from app.core.storage import Storage
from worker.runner.launch import ForkServer
from worker.runner.queue_tasks import run_next_job
from worker.runner.shutdown import Shutdown
from worker.runner.sweeper import sweep
from worker.runner.worker import Worker

logger = logging.getLogger(__name__)


def main() -> None:
    """Work until SIGTERM or SIGINT; a running job then goes back to the queue, its checkpoint kept."""
    configure_logging()
    shutdown = Shutdown()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: shutdown.request())
    launch = ForkServer()
    launch.start()
    worker = replace(create_worker(get_settings(), shutdown), launch=launch)
    settings = worker.settings
    sweeper = threading.Thread(
        target=lambda: _repeat(lambda: sweep(worker), settings.sweep_interval, shutdown), name="sweeper"
    )
    sweeper.start()
    launch.wait_until_ready(unless=shutdown)
    if settings.broker_url is None:
        _poll(worker, settings.poll_interval)
    else:
        _listen(worker)
    sweeper.join()
    launch.close()
    worker.database.dispose()


def create_worker(settings: Settings, shutdown: Shutdown) -> Worker:
    return Worker(
        name=f"{socket.gethostname()}-{os.getpid()}",
        settings=settings,
        database=Database(settings.resolved_database_url),
        storage=Storage.from_url(settings.resolved_storage_url, s3_endpoint=settings.s3_endpoint),
        queue=Queue(settings.broker_url),
        shutdown=shutdown,
    )


def _listen(worker: Worker) -> None:
    """Take announced jobs; beside that look at the table, for a broker may be away or lose messages."""
    from worker.runner import celery_app  # without a broker there is no need of it

    def poll() -> None:
        _poll(worker, worker.settings.sweep_interval)
        celery_app.stop()

    poller = threading.Thread(target=poll, name="poller")
    poller.start()
    try:
        celery_app.serve(worker)
    finally:
        worker.shutdown.request()
        poller.join()


def _poll(worker: Worker, interval: timedelta) -> None:
    def run_all_queued() -> None:
        while not worker.shutdown.requested and run_next_job(worker):
            pass

    _repeat(run_all_queued, interval, worker.shutdown)


def _repeat(action: Callable[[], object], interval: timedelta, shutdown: Shutdown) -> None:
    """Run an action at intervals until the process is told to stop; failures are logged and retried."""
    while not shutdown.requested:
        try:
            action()
        except Exception:  # a database or a store that is away must not end the worker
            logger.exception("retrying in %s", interval)
        shutdown.wait(interval)


if __name__ == "__main__":
    main()
