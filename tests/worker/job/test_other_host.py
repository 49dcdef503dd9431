"""A job goes on where another host was, on one that shares nothing with it but the store."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from app.core.db import Database
from app.core.db.checkpoints import list_checkpoints
from app.core.db.datasets import Dataset
from app.core.db.jobs import Job, get_job, list_events
from app.core.db.models import Model, get_model
from app.core.settings import Settings
from app.domain.documents.events import Metrics
from app.domain.job_states import JobStatus
from app.domain.reports.card import CARD
from tests.conftest import empty_tables
from tests.processes import children, is_alive, wait_until
from tests.tiny import tiny_model_folder
from tests.worker.requests import Shelf, run_here
from worker.runner.launch import ForkServer
from worker.runner.protocol import JobRequest, Succeeded
from worker.runner.queue_tasks import run_job
from worker.runner.shutdown import Shutdown
from worker.runner.sweeper import sweep
from worker.runner.worker import create_worker

SUPERVISOR = """
import sys
from app.core.settings import Settings
from worker.runner.worker import create_worker
from worker.runner.queue_tasks import run_job
from worker.runner.shutdown import Shutdown
settings, job_id = sys.argv[1:]
run_job(create_worker(Settings.model_validate_json(settings), Shutdown()), job_id)
"""
STEPS = 160
"""Of the training: 20 epochs of 256 rows, 32 at a time."""


def host(folder: Path, database: Database, shelf: Shelf, *, interval_s: float) -> Settings:
    return Settings(
        data_dir=folder,
        database_url=database.engine.url.render_as_string(hide_password=False),
        storage_url=shelf.url,
        lease=timedelta(seconds=2),
        heartbeat=timedelta(seconds=0.1),
        checkpoint_interval=timedelta(seconds=interval_s),
        retry_delay=timedelta(0),
    )


def queue_job(database: Database, request: JobRequest) -> str:
    with database.transaction() as session:
        for given in request.inputs.values():
            manifest = given.manifest.to_stored()
            session.add(Model(id=given.id, name="encoder", origin="upload", manifest_json=manifest))
        dataset = request.dataset
        session.add(Dataset(id=dataset.id, name="data", manifest_json=dataset.manifest.to_stored()))
        job = Job(
            spec=request.spec.to_stored(),
            inputs={role: given.id for role, given in request.inputs.items()},
            dataset_id=dataset.id,
            method=request.spec.method.name,
        )
        session.add(job)
        session.flush()
        return job.id


def test_hosts_that_are_stopped_or_lost_leave_a_job_that_ends_in_the_same_bytes(
    postgres_url: str, fork_server: ForkServer, tmp_path: Path
) -> None:
    """The first is told to stop, the second is killed with its child, the third finishes."""
    database = Database(postgres_url)
    empty_tables(database)
    (tmp_path / "store").mkdir()
    shelf = Shelf(tmp_path / "store")
    encoder = shelf.add_model(tiny_model_folder(tmp_path / "encoder"))
    training = {"learning_rate": 2e-3, "epochs": 20}
    request = shelf.request(encoder, shelf.add_dataset(), "fine_tuning", training=training, exports=["fp32"])
    job_id = queue_job(database, request)

    def job() -> Job:
        with database.reading() as session:
            return get_job(session, job_id)

    def latest() -> int:
        with database.reading() as session:
            return max((row.step for row in list_checkpoints(session, job_id)), default=0)

    settings = host(tmp_path / "first", database, shelf, interval_s=3600)
    first = replace(create_worker(settings, Shutdown()), launch=fork_server)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(run_job, first, job_id)
        wait_until(lambda: job().progress.get("step", 0) > 1, timeout_s=60)
        first.shutdown.request()
    first.database.dispose()
    assert (job().status, job().retry_at) == (JobStatus.QUEUED, None)
    assert job().read_attempt_record().failures == 0
    handed_back = latest()
    assert 1 < handed_back < STEPS, "its only checkpoint is the one that it saved when it was told to stop"

    settings = host(tmp_path / "second", database, shelf, interval_s=0.05)
    given = settings.model_dump_json(exclude_computed_fields=True)
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, given, job_id]) as second:
        wait_until(lambda: latest() > handed_back or second.poll() is not None, timeout_s=60)
        orphans = children(second.pid)
        for pid in (second.pid, *orphans):
            with suppress(ProcessLookupError):  # a child notices by itself that its supervisor is gone
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in orphans))
    stored = latest()
    assert handed_back < stored < STEPS, "the training was over before it could be killed"

    settings = host(tmp_path / "third", database, shelf, interval_s=3600)
    third = replace(create_worker(settings, Shutdown()), launch=fork_server)
    wait_until(lambda: sweep(third) or job().status is JobStatus.QUEUED)
    run_job(third, job_id)
    third.database.dispose()
    ended = job()
    assert (ended.status, ended.error_message, ended.attempt) == (JobStatus.SUCCEEDED, None, 3)

    with database.reading() as session:
        student = get_model(session, ended.student_id).manifest
        events = [event.read() for event in list_events(session, job_id, after=0, limit=1000)]
    begins = [i for i, event in enumerate(events) if getattr(event, "status", None) is JobStatus.RUNNING]
    for begin, done in zip(begins[1:], (handed_back, stored), strict=True):
        losses = [e.step for e in events[begin:] if isinstance(e, Metrics) and "loss" in e.values]
        assert losses[0] > done, "a host began from the start"

    undisturbed, _ = run_here(request, tmp_path / "undisturbed")
    assert isinstance(undisturbed, Succeeded)
    files, same_files = student.files.entries, undisturbed.manifest.files.entries
    del files[CARD], same_files[CARD]  # it has the times of its own host
    assert files == same_files
    database.dispose()
