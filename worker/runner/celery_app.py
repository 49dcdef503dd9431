"""The worker's ear: Celery hands over a job's id and keeps no state."""

from typing import Any

from celery import Celery
from celery.signals import worker_shutting_down
from celery.worker import state

from app.core.db import DATABASE_UNAVAILABLE
from app.core.queue import RUN_JOB
from worker.runner.queue_tasks import run_job
from worker.runner.worker import Worker


def create_celery(worker: Worker) -> Celery:
    """An app that runs announced jobs in this very process.

    Messages are acknowledged when a job begins: what is lost after that, the lease brings back.
    """
    celery = Celery("squeeze", broker=worker.settings.broker_url, set_as_current=False)
    celery.conf.update(
        task_default_queue=worker.settings.queues[0],
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        accept_content=["json"],
        task_serializer="json",
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
    )

    @celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]
    def run(job_id: str) -> None:
        try:
            run_job(worker, job_id)
        except DATABASE_UNAVAILABLE as error:  # the row is found without its announcement
            worker.outages.report("database", error)

    return celery


def serve(worker: Worker) -> None:
    """Take announced jobs until the process is told to stop.

    The pool is ``solo``: the task only watches a child process. A busy worker then holds no message
    that an idle one could take, and its own signal handlers reach the running job.
    """

    def request_shutdown(**_: Any) -> None:
        worker.shutdown.request()

    worker_shutting_down.connect(request_shutdown)
    celery = create_celery(worker)
    celery.Worker(
        pool="solo",
        concurrency=1,
        queues=worker.settings.queues,
        hostname=worker.name,
        quiet=True,
        loglevel="INFO",
        without_mingle=True,
        without_gossip=True,
    ).start()


def stop() -> None:
    """End ``serve``, from any thread: a signal may have come before Celery had its handlers in place."""
    state.should_stop = 0
