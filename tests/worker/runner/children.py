"""Small child programs in place of the pipeline, and the rows that a job of theirs needs."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.orm import selectinload

from app.core.db import Database
from app.core.db.datasets import Dataset
from app.core.db.jobs import Job, list_events
from app.core.db.models import Model
from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.documents.manifest import DatasetManifest, Files, ModelManifest, SplitSummary
from tests.processes import wait_until
from worker.runner.queue_tasks import run_job
from worker.runner.worker import Worker

_PRELUDE = """
import os, pathlib, shutil, signal, subprocess, sys, time
from app.domain.documents.manifest import Files
from worker.job.supervisor_watch import SupervisorWatch
watch = SupervisorWatch()
watch.start()
from worker.runner.protocol import *
workdir = pathlib.Path(sys.argv[1])
request = read_request(workdir)
events = EventPipe()
def write_checkpoint(step):
    path = checkpoint_path(workdir / CHECKPOINTS, step)
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".partial").write_text(str(step))
    path.with_suffix(".partial").rename(path)
    events.send(CheckpointWritten(step=step))
def make_student():
    (workdir / STUDENT).mkdir(exist_ok=True)
    (workdir / STUDENT / "model.safetensors").write_bytes(b"weights")
def succeed(manifest=None):
    make_student()
    manifest = (manifest or request.teacher.manifest).model_copy(
        update={"files": Files.of(workdir / STUDENT, prefix=request.output_prefix)}
    )
    measured = {"quality": {"dev": {"accuracy": 0.8}}, "total_parameters": 30, "exports": {}}
    measured |= {"parameters": {"embeddings": 10, "encoder": 15, "head": 5}}
    report = {"metric": "accuracy", "trivial_baseline": {"dev": 0.5}, "teacher": None, "student": measured}
    report |= {"ratios": None, "method": {}, "seconds": {}}
    write_outcome(workdir, request, Succeeded(manifest=manifest, metrics={"accuracy": 0.8}, report=report))
"""

_SHAPE = EncoderShape(layers=2, hidden=32, heads=2, ffn=64)
_CARD = EncoderArchitecture(family="bert", shape=_SHAPE, vocabulary=100, positions=64, token_types=2)


def child(body: str) -> list[str]:
    """A command that runs a few lines of Python as the child of an attempt."""
    return [sys.executable, "-c", _PRELUDE + body]


def queue_first_job(database: Database) -> str:
    """The id of a queued job that has a data set and no teacher."""
    dataset = Dataset(name="data", manifest_json=_dataset_manifest().to_stored())
    with database.transaction() as session:
        session.add(dataset)
        session.flush()
        spec = {"dataset": dataset.id, "method": {"name": "scratch"}}
        job = Job(spec=spec, dataset_id=dataset.id, method="scratch")
        session.add(job)
        session.flush()
        return job.id


def queue_job(database: Database, **said: Any) -> str:
    """The id of a queued job with its teacher and its data set; ``said`` is more of its spec."""
    teacher = Model(name="teacher", origin="upload", manifest_json=model_manifest().to_stored())
    dataset = Dataset(name="data", manifest_json=_dataset_manifest().to_stored())
    with database.transaction() as session:
        session.add_all([teacher, dataset])
        session.flush()
        method = {"name": "fine_tuning"}
        job = Job(
            spec={"teacher": teacher.id, "dataset": dataset.id, "method": method, **said},
            inputs={"teacher": teacher.id},
            dataset_id=dataset.id,
            method="fine_tuning",
        )
        session.add(job)
        session.flush()
        return job.id


def read_job(database: Database, job_id: str) -> Job:
    with database.transaction() as session:
        job = session.get(Job, job_id, options=[selectinload(Job.input_rows)])
        assert job is not None
        return job


def history(database: Database, job_id: str, kind: str) -> list[dict[str, object]]:
    """The data of a job's events of one kind, in order."""
    with database.transaction() as session:
        events = list_events(session, job_id, after=0, limit=1000)
        return [event.read().data for event in events if event.kind == kind]


@contextmanager
def running(worker: Worker, job_id: str, data_dir: Path) -> Iterator[int]:
    """A job's child during the block, by its process id; the job ends before the block is left."""
    thread = threading.Thread(target=run_job, args=(worker, job_id))
    pid_file = workdir(data_dir, job_id, read_job(worker.database, job_id).attempt + 1) / "pid"
    thread.start()
    try:
        wait_until(lambda: pid_file.exists() and pid_file.read_text() != "", timeout_s=60)
        yield int(pid_file.read_text())
        thread.join(timeout=30)
        assert not thread.is_alive()
    finally:
        worker.shutdown.request()
        thread.join()


def workdir(data_dir: Path, job_id: str, attempt: int = 1) -> Path:
    """The work folder of an attempt."""
    return data_dir / "work" / job_id / str(attempt)


def stored_files(data_dir: Path) -> list[Path]:
    """What attempts have stored of models."""
    paths = (data_dir / "files" / "projects").glob("*/models/**/*")
    return [path for path in paths if path.is_file()]


def model_manifest() -> ModelManifest:
    return ModelManifest(
        files=Files(prefix="models/teacher", entries={}),
        architecture=_CARD,
        task="text_classification",
        labels=["no", "yes"],
        parameters=1000,
        max_length=64,
    )


def _dataset_manifest() -> DatasetManifest:
    split = SplitSummary(rows=2, labels={"no": 1, "yes": 1}, words={"p50": 3, "p95": 3, "p99": 3, "max": 3})
    return DatasetManifest(
        files=Files(prefix="datasets/data", entries={}),
        task="text_classification",
        labels=["no", "yes"],
        is_pair=False,
        splits={"train": split, "dev": split},
    )
