"""A worker takes jobs of all projects; each gets what its own project has, and leaves there what it makes."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from app.core.db import DEFAULT_PROJECT, Database, ProjectDatabase
from app.core.db.jobs import Job, get_job
from app.core.db.models import get_model, list_models
from app.core.db.projects import Project
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, queue_job, workdir
from worker.runner.queue_tasks import run_job

OTHER = f"prj_{'1' * 26}"
SUCCEEDS = child("(workdir.parents[2] / 'request').write_text(request.model_dump_json()); succeed()")


@pytest.fixture
def of_another(database: Database) -> ProjectDatabase:
    """The database as another project has it."""
    with database.transaction() as session:
        session.add(Project(id=OTHER, name="other"))
    return database.of(OTHER)


def test_a_student_is_of_the_project_of_its_job(
    make_worker: MakeWorker, of_another: ProjectDatabase, database: Database, tmp_path: Path
):
    job_id = queue_job(of_another)
    run_job(make_worker(SUCCEEDS, lease=timedelta(minutes=1)), job_id)
    with of_another.reading() as session:
        job = get_job(session, job_id)
        student = get_model(session, job.student_id)
    assert student.project_id == OTHER
    assert student.manifest.files.prefix.startswith(f"projects/{OTHER}/models/")
    with database.of(DEFAULT_PROJECT).reading() as session:
        assert list_models(session, limit=9) == []
    request = json.loads((tmp_path / "request").read_text())
    assert Path(request["cache_dir"]).name == OTHER


@pytest.mark.parametrize("named", ["teacher", "dataset"])
def test_a_job_cannot_have_what_another_project_has(
    make_worker: MakeWorker, of_another: ProjectDatabase, database: Database, tmp_path: Path, named: str
):
    """Even where its row says so, however that came to be."""
    foreign, job_id = queue_job(of_another), queue_job(database)
    with database.transaction() as session:
        job, other = session.get(Job, job_id), session.get(Job, foreign)
        job.spec = job.spec | {named: other.spec[named]}
    run_job(make_worker(SUCCEEDS), job_id)
    with database.reading() as session:
        job = get_job(session, job_id)
    assert (job.status.value, job.error_code) == ("failed", f"{named.replace('teacher', 'model')}_not_found")
    assert not workdir(tmp_path, job_id).exists(), "its process was never started"
