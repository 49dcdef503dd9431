"""``squeeze worker``: jobs as they are announced, or from the table where there is no broker."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.confinement import hide_memory
from app.core.db import DATABASE_UNAVAILABLE
from app.core.logging import configure_logging
from app.core.settings import get_settings
from app.core.telemetry import close_telemetry, configure_telemetry
from worker.runner.announcer import announce_lost
from worker.runner.cleaning import clean_up, remove_checkpoints
from worker.runner.launch import ForkServer
from worker.runner.queue_tasks import run_next_job
from worker.runner.registration import HEARTBEATS_PER_LEASE, deregister, send_heartbeat
from worker.runner.searches import advance_all
from worker.runner.shutdown import Shutdown
from worker.runner.sweeper import sweep
from worker.runner.worker import Worker, create_worker

logger = logging.getLogger(__name__)

_HOUSEKEEPING_S = 5
"""How long a worker that ends waits for its other threads."""


def main() -> None:
    """Work until SIGTERM or SIGINT; a running job then goes back to the queue, its checkpoint kept."""
    hide_memory()  # jobs run as the same user, and this process knows all passwords
    settings = get_settings()
    configure_logging(settings.log_format)
    shutdown = Shutdown()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: shutdown.request())
    launch = ForkServer()
    launch.start()
    configure_telemetry("squeeze-worker")  # it has a thread: the process above is begun without
    worker = replace(create_worker(settings, shutdown), launch=launch)
    housekeeping = [
        _start_repeating(
            lambda: send_heartbeat(worker), settings.lease / HEARTBEATS_PER_LEASE, worker, name="heartbeat"
        ),
        _start_repeating(lambda: sweep(worker), settings.sweep_interval, worker, name="sweeper"),
        _start_repeating(lambda: announce_lost(worker), settings.sweep_interval, worker, name="announcer"),
        # Apart from the sweeper: a store that is away must not delay lost jobs.
        _start_repeating(
            lambda: remove_checkpoints(worker), settings.sweep_interval, worker, name="checkpoints"
        ),
        _start_repeating(lambda: clean_up(worker), settings.cleanup_interval, worker, name="cleaner"),
    ]
    launch.wait_until_ready(unless=shutdown)
    logger.info("%s is ready for jobs", worker.name)
    if settings.broker_url is None:
        _poll(worker, settings.poll_interval)
    else:
        _listen(worker)
    deadline = time.monotonic() + _HOUSEKEEPING_S
    for thread in housekeeping:
        thread.join(max(0.0, deadline - time.monotonic()))
    launch.close()
    with suppress(DBAPIError, PoolTimeout):  # it will count as lost instead
        deregister(worker)
    worker.queue.close()
    worker.database.dispose()
    close_telemetry()


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
        advance_all(worker)
        while not worker.shutdown.requested and run_next_job(worker):
            pass

    repeat(run_all_queued, interval, worker)


def _start_repeating(
    action: Callable[[], object], interval: timedelta, worker: Worker, *, name: str
) -> threading.Thread:
    # A daemon: what waits for a store that is away must not keep the worker from ending.
    thread = threading.Thread(target=repeat, args=(action, interval, worker), name=name, daemon=True)
    thread.start()
    return thread


def repeat(action: Callable[[], object], interval: timedelta, worker: Worker) -> None:
    """Run an action at intervals until the process is told to stop; failures are logged and retried."""
    while not worker.shutdown.requested:
        try:
            action()
        except DATABASE_UNAVAILABLE as error:
            worker.outages.report("database", error)
        except StoreError as error:
            worker.outages.report("store", error)
        except Exception:  # nothing ends the worker
            logger.exception("retrying in %s", interval)
        worker.shutdown.wait(interval)


if __name__ == "__main__":
    main()
