"""A worker leaves what a later version queued to workers of that version, and nothing else."""

from typing import Any

import pytest

from app.core.db import Database
from app.core.db.base import database_time
from app.core.db.jobs import Job, lock_job
from app.core.db.models import Model
from app.core.settings import DEFAULT_QUEUE
from app.domain.documents.plan import Plan
from app.domain.job_states import JobStatus
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, history, queue_job, read_job
from worker.runner.announcer import announce_lost
from worker.runner.queue_tasks import run_job, run_next_job


def newer_spec(job: Job, _: Model) -> None:
    job.spec = {"version": 99, "anything": []}


def newer_method(job: Job, _: Model) -> None:
    job.method = "quantum_squeezing"
    job.spec = {**job.spec, "method": {"name": job.method}}


def newer_plan(job: Job, _: Model) -> None:
    job.plan = {"version": Plan.newest_version() + 1}


def newer_teacher(_: Job, teacher: Model) -> None:
    teacher.manifest_json = {"version": 99}


def change(database: Database, job_id: str, how: Any) -> None:
    with database.transaction() as session:
        job = lock_job(session, job_id)
        teacher = session.get(Model, job.teacher_id)
        assert teacher is not None
        how(job, teacher)


@pytest.mark.parametrize("how", [newer_spec, newer_method, newer_plan, newer_teacher])
def test_it_stays_queued_and_the_next_one_runs(make_worker: MakeWorker, database: Database, how: Any):
    newer, other = sorted(queue_job(database) for _ in range(2))
    change(database, newer, how)
    worker = make_worker(child("succeed()"))
    run_job(worker, newer)  # as it was announced
    assert run_next_job(worker)
    assert not run_next_job(worker)
    job = read_job(database, newer)
    assert (job.status, job.attempt, job.error_code) == (JobStatus.QUEUED, 0, None)
    assert history(database, newer, "status") == []
    assert read_job(database, other).status is JobStatus.SUCCEEDED


def test_its_announcement_is_made_again_for_others(
    make_worker: MakeWorker, database: Database, redis_url: str
):
    job_id = queue_job(database)
    change(database, job_id, newer_method)
    with database.transaction() as session:
        lock_job(session, job_id).announced_at = database_time(session)
    old = make_worker(child("succeed()"), broker_url=redis_url)
    run_job(old, job_id)
    announce_lost(old)
    assert old.queue.length(DEFAULT_QUEUE) == 0, "not at once"
    impatient = make_worker(child("succeed()"), broker_url=redis_url, sweep_interval="0")
    announce_lost(impatient)
    assert impatient.queue.flush(30)
    assert impatient.queue.length(DEFAULT_QUEUE) == 1


@pytest.mark.parametrize("damaged", [{"version": "new"}, {}, []])
def test_a_damaged_job_fails(make_worker: MakeWorker, database: Database, damaged: Any):
    job_id = queue_job(database)

    def damage(job: Job, _: Model) -> None:
        job.spec = damaged

    change(database, job_id, damage)
    run_job(make_worker(child("succeed()")), job_id)
    job = read_job(database, job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "unreadable_row")
