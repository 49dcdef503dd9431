"""A job goes on where a lost host was, on another host that shares nothing with it but the store."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
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
from tests.conftest import empty_tables
from tests.processes import is_alive, wait_until
from tests.tiny import tiny_model_folder
from tests.worker.requests import Shelf, run_here
from worker.runner.main import create_worker
from worker.runner.protocol import JobRequest, Succeeded
from worker.runner.queue_tasks import run_job
from worker.runner.shutdown import Shutdown
from worker.runner.sweeper import sweep

SUPERVISOR = """
import sys
from app.core.settings import Settings
from worker.runner.main import create_worker
from worker.runner.queue_tasks import run_job
from worker.runner.shutdown import Shutdown
settings, job_id = sys.argv[1:]
run_job(create_worker(Settings.model_validate_json(settings), Shutdown()), job_id)
"""
LATER_THAN = 10


def host(folder: Path, database: Database, shelf: Shelf) -> Settings:
    return Settings(
        data_dir=folder,
        database_url=database.engine.url.render_as_string(hide_password=False),
        storage_url=shelf.url,
        lease=timedelta(seconds=2),
        heartbeat=timedelta(seconds=0.1),
        checkpoint_interval=timedelta(seconds=0.05),
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


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_another_host_finishes_a_lost_job_to_the_same_bytes(postgres_url: str, tmp_path: Path) -> None:
    database = Database(postgres_url)
    empty_tables(database)
    (tmp_path / "store").mkdir()
    shelf = Shelf(tmp_path / "store")
    encoder = shelf.add_model(tiny_model_folder(tmp_path / "encoder"))
    training = {"learning_rate": 2e-3, "epochs": 14}
    request = shelf.request(encoder, shelf.add_dataset(), "fine_tuning", training=training, exports=["fp32"])
    job_id = queue_job(database, request)

    def latest() -> int:
        with database.reading() as session:
            return max((row.step for row in list_checkpoints(session, job_id)), default=0)

    def status() -> JobStatus:
        with database.reading() as session:
            return get_job(session, job_id).status

    settings = host(tmp_path / "first", database, shelf).model_dump_json(exclude_computed_fields=True)
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, settings, job_id]) as first:
        wait_until(lambda: latest() > LATER_THAN or first.poll() is not None, timeout_s=60)
        orphans = children(first.pid)
        for pid in (first.pid, *orphans):
            with suppress(ProcessLookupError):  # a child notices by itself that its supervisor is gone
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in orphans))
    stored = latest()
    assert LATER_THAN < stored < 112, "the training was over before it could be killed"

    second = create_worker(host(tmp_path / "second", database, shelf), Shutdown())
    wait_until(lambda: sweep(second) or status() is JobStatus.QUEUED)
    run_job(second, job_id)
    second.database.dispose()

    with database.reading() as session:
        job = get_job(session, job_id)
        assert (job.status, job.error_message, job.attempt) == (JobStatus.SUCCEEDED, None, 2)
        student = get_model(session, job.student_id).manifest
        events = [event.read() for event in list_events(session, job_id, after=0, limit=1000)]
    begun = [i for i, event in enumerate(events) if getattr(event, "status", None) is JobStatus.RUNNING]
    losses = [e.step for e in events[begun[1] :] if isinstance(e, Metrics) and "loss" in e.values]
    assert losses[0] > stored, "the second host began from the start"

    undisturbed, _ = run_here(request, tmp_path / "undisturbed")
    assert isinstance(undisturbed, Succeeded)
    assert student.files.entries == undisturbed.manifest.files.entries
    database.dispose()
