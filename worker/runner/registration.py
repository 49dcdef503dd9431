"""A worker's entry in the table of workers: who it is, what it does, and that it still lives."""

import shutil
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

from app.core.db.workers import forget_lost_workers, forget_worker, record_heartbeat
from app.domain.documents import JobSpec
from app.domain.documents.auto import AUTO
from app.domain.documents.plan import Plan
from app.domain.methods import METHOD_SPECS
from worker.runner.devices import find_devices
from worker.runner.worker import Worker

HEARTBEATS_PER_LEASE = 3
_LISTED_AFTER_LOSS = timedelta(days=1)


def send_heartbeat(worker: Worker) -> None:
    """Write or renew the worker's entry; remove those of workers that were lost long ago."""
    facts = {
        "name": worker.name,
        "host": worker.host,
        "version": _version(),
        "queues": worker.settings.queues,
        "methods": sorted([*METHOD_SPECS, AUTO]),
        "documents": {kind.document_name: kind.newest_version() for kind in (JobSpec, Plan)},
        "devices": find_devices(),
        "job_id": worker.activity.job_id,
        "problem": find_problem(worker),
        "counts": dict(worker.activity.counts),
    }
    with worker.database.transaction() as session:
        record_heartbeat(session, worker.id, facts, lease=worker.settings.lease)
    with worker.database.transaction() as session:
        forget_lost_workers(session, lost_for=_LISTED_AFTER_LOSS)


def deregister(worker: Worker) -> None:
    with worker.database.transaction() as session:
        forget_worker(session, worker.id)


def find_problem(worker: Worker) -> str | None:
    """Why the worker should take no job now, as a sentence."""
    work = worker.settings.work_dir
    try:
        work.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(work).free
    except OSError as error:
        return f"The work folder of {worker.host} cannot be used: {error.strerror}."
    if free < worker.settings.min_free_bytes:
        return f"The disk of the work folder of {worker.host} is full."
    return None


def _version() -> str:
    try:
        return version("squeeze")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
