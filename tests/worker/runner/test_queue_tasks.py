"""Claiming, concluding and sweeping jobs, on real databases and a real broker."""

import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from app.core.db import Database
from app.core.db.base import database_time
from app.core.db.job_queue import claim_job
from app.core.db.jobs import JobEvent, lock_job
from app.core.db.models import get_model, list_models
from app.core.ids import new_id
from app.core.settings import DEFAULT_QUEUE
from app.domain.job_states import JobStatus
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import (
    child,
    history,
    model_manifest,
    queue_first_job,
    queue_job,
    read_job,
    running,
    stored_files,
    workdir,
)
from worker.runner.announcer import announce_lost
from worker.runner.cleaning import clean_up
from worker.runner.conclusion import conclude
from worker.runner.prefixes import output_prefix
from worker.runner.protocol import Cancelled
from worker.runner.queue_tasks import run_job, run_next_job
from worker.runner.sweeper import WORKER_LOST, release_expired, sweep
from worker.runner.worker import Worker

SUCCEEDS = child("succeed()")
FAILS = child(
    "make_student()\n"
    "write_outcome(workdir, request, Failed(code='teacher_not_trained', message='Train it first.'))"
)
FAILS_FOR_NOW = child(
    "write_outcome(workdir, request, Failed(code='store_away', message='Later.', retryable=True))"
)


def lose(database: Database, job_id: str) -> None:
    """Claim a job for a worker that is never heard of again."""
    with database.transaction() as session:
        assert claim_job(session, job_id, owner="lost", lease=timedelta(seconds=-1)) is not None


def students(database: Database) -> list[str]:
    with database.transaction() as session:
        return [model.id for model in list_models(session, limit=100) if model.origin == "job"]


def announced(worker: Worker) -> int:
    assert worker.queue.flush(30)
    return worker.queue.length(DEFAULT_QUEUE)


class TestRunJob:
    def test_success_registers_the_student(self, make_worker: MakeWorker, database: Database, tmp_path: Path):
        job_id = queue_job(database)
        run_job(make_worker(SUCCEEDS), job_id)

        job = read_job(database, job_id)
        assert (job.status, job.attempt, job.lease_owner) == (JobStatus.SUCCEEDED, 1, None)
        assert job.finished_at is not None
        assert job.read_report().student.quality == {"dev": {"accuracy": 0.8}}
        assert students(database) == [job.student_id]
        with database.transaction() as session:
            student = get_model(session, job.student_id)
        assert (student.job_id, student.teacher_id, student.dataset_id, student.method) == (
            job_id,
            job.teacher_id,
            job.dataset_id,
            "fine_tuning",
        )
        assert student.name == "teacher / fine_tuning"
        assert student.metrics == {"accuracy": 0.8}
        assert student.manifest.files.prefix == output_prefix(job)
        assert len(stored_files(tmp_path)) == 1
        assert [event["status"] for event in history(database, job_id, "status")] == ["running", "succeeded"]

    def test_a_first_model_is_named_after_its_data(self, make_worker: MakeWorker, database: Database):
        made = model_manifest().model_dump_json()
        program = "assert request.teacher is None; "
        program += f"succeed(ModelManifest.model_validate_json({made!r}))"
        job_id = queue_first_job(database)
        run_job(make_worker(child(program)), job_id)
        job = read_job(database, job_id)
        assert job.status is JobStatus.SUCCEEDED
        with database.transaction() as session:
            student = get_model(session, job.student_id)
        assert (student.name, student.teacher_id) == ("data / scratch", None)

    def test_a_duplicate_announcement_runs_once(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database)
        workers = [make_worker(SUCCEEDS) for _ in range(3)]
        threads = [
            threading.Thread(target=run_job, args=(worker, job_id)) for worker in workers for _ in (1, 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        job = read_job(database, job_id)
        assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 1)
        assert students(database) == [job.student_id]

    def test_an_unknown_job_is_nobodys(self, make_worker: MakeWorker):
        run_job(make_worker(SUCCEEDS), new_id("job"))

    def test_failure_leaves_its_reason_and_no_files(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        job_id = queue_job(database)
        run_job(make_worker(FAILS), job_id)
        job = read_job(database, job_id)
        assert (job.status, job.error_code, job.error_message) == (
            JobStatus.FAILED,
            "teacher_not_trained",
            "Train it first.",
        )
        assert job.student_id is None
        assert stored_files(tmp_path) == []

    def test_its_end_is_written_before_the_store_is_asked_for_anything(
        self, make_worker: MakeWorker, database: Database, monkeypatch: pytest.MonkeyPatch
    ):
        """A store that is away takes longer than a client waits for a cancelled job, or a lease lasts."""
        found, job_id = [], queue_job(database)

        def find_status(worker: Worker, prefix: str) -> bool:
            found.append(read_job(database, job_id).status)
            return False

        monkeypatch.setattr("worker.runner.queue_tasks.clear_output", find_status)
        run_job(make_worker(FAILS), job_id)
        assert found == [JobStatus.FAILED]

    def test_a_job_whose_teacher_is_gone_fails(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database)
        with database.transaction() as session:
            session.delete(get_model(session, read_job(database, job_id).teacher_id))
        run_job(make_worker(SUCCEEDS), job_id)
        job = read_job(database, job_id)
        assert (job.status, job.error_code) == (JobStatus.FAILED, "model_not_found")

    def test_a_passing_failure_is_tried_again_but_not_for_ever(
        self, make_worker: MakeWorker, database: Database
    ):
        worker = make_worker(FAILS_FOR_NOW, max_attempts=2)
        job_id = queue_job(database)
        run_job(worker, job_id)
        job = read_job(database, job_id)
        assert (job.status, job.error_code) == (JobStatus.QUEUED, "store_away")
        assert history(database, job_id, "status")[-1] == {
            "status": "queued",
            "attempt": 1,
            "reason": "store_away",
            "message": "Later.",
            "retry_at": job.retry_at.isoformat().replace("+00:00", "Z"),
        }
        run_job(worker, job_id)
        job = read_job(database, job_id)
        assert (job.status, job.error_code, job.attempt) == (JobStatus.FAILED, "store_away", 2)

    def test_a_job_lost_at_the_end_is_not_registered(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path
    ):
        program = """
(workdir / "pid").write_text(str(os.getpid()))
while not (workdir / "go").exists():
    time.sleep(0.02)
succeed()
"""
        worker = make_worker(child(program), heartbeat=timedelta(seconds=20), lease=timedelta(seconds=60))
        job_id = queue_job(database)
        with running(worker, job_id, tmp_path):
            with database.transaction() as session:
                lock_job(session, job_id).attempt += 1
            (workdir(tmp_path, job_id) / "go").touch()
        assert read_job(database, job_id).status is JobStatus.RUNNING
        assert students(database) == []
        assert stored_files(tmp_path) == []

    def test_a_lost_answer_to_a_commit_is_no_lost_job(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database, student_name="teacher / films")
        worker = make_worker(SUCCEEDS)
        run_job(worker, job_id)
        job = read_job(database, job_id)
        with database.transaction() as session:
            assert get_model(session, job.student_id).name == "teacher / films"
            assert conclude(worker, session, job, Cancelled(), job.student_id) is JobStatus.SUCCEEDED
            assert conclude(worker, session, job, Cancelled(), new_id("mdl")) is None


class TestRunNextJob:
    def test_takes_the_oldest(self, make_worker: MakeWorker, database: Database):
        jobs = [queue_job(database) for _ in range(2)]
        worker = make_worker(SUCCEEDS)
        assert run_next_job(worker)
        assert [read_job(database, job).status for job in jobs] == [JobStatus.SUCCEEDED, JobStatus.QUEUED]
        assert run_next_job(worker)
        assert not run_next_job(worker)

    def test_a_busy_worker_takes_none(self, make_worker: MakeWorker, database: Database):
        queue_job(database)
        worker = make_worker(SUCCEEDS)
        with worker.slot:
            assert not run_next_job(worker)


class TestSweep:
    def test_a_lost_job_is_queued_and_announced(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path, redis_url: str
    ):
        job_id = queue_job(database)
        lose(database, job_id)
        orphan = tmp_path / "files" / output_prefix(read_job(database, job_id)) / "model.onnx"
        orphan.parent.mkdir(parents=True)
        orphan.write_bytes(b"half")

        worker = make_worker(SUCCEEDS, broker_url=redis_url)
        before = read_job(database, job_id)
        sweep(worker)
        announce_lost(worker)
        job = read_job(database, job_id)
        assert (job.status, job.lease_owner, job.attempt) == (JobStatus.QUEUED, None, 1)
        assert job.announced_at > before.announced_at
        assert job.queued_at > before.queued_at
        assert announced(worker) == 1
        assert history(database, job_id, "status")[-1]["reason"] == WORKER_LOST
        assert not orphan.exists(), "what the lost attempt stored is cleared"

    def test_two_sweeps_that_saw_the_same_job_put_it_back_once(
        self, make_worker: MakeWorker, database: Database, redis_url: str
    ):
        job_id = queue_job(database)
        lose(database, job_id)
        worker = make_worker(SUCCEEDS, broker_url=redis_url)
        for _ in range(2):
            with database.transaction() as session:
                release_expired(worker, session, job_id)
        assert len(history(database, job_id, "status")) == 2
        for _ in range(2):
            announce_lost(worker)
            assert announced(worker) == 1

    def test_a_job_that_is_being_worked_on_is_left_alone(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database)
        with database.transaction() as session:
            claim_job(session, job_id, owner="busy", lease=timedelta(seconds=30))
        sweep(make_worker(SUCCEEDS))
        assert read_job(database, job_id).lease_owner == "busy"

    def test_a_job_lost_too_often_has_failed(self, make_worker: MakeWorker, database: Database):
        worker = make_worker(SUCCEEDS, max_attempts=2)
        job_id = queue_job(database)
        for _ in range(2):
            lose(database, job_id)
            sweep(worker)
        job = read_job(database, job_id)
        assert (job.status, job.error_code) == (JobStatus.FAILED, WORKER_LOST)

    def test_planned_shutdowns_are_not_held_against_a_job(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database)
        for _ in range(3):
            worker = make_worker(child("time.sleep(60)"), max_attempts=2)
            stopper = threading.Timer(0.5, worker.shutdown.request)
            stopper.start()
            run_job(worker, job_id)
            stopper.join()
        lose(database, job_id)
        sweep(worker)
        job = read_job(database, job_id)
        assert (job.status, job.attempt) == (JobStatus.QUEUED, 4)

    def test_a_lost_job_that_nobody_wants_any_more_is_cancelled(
        self, make_worker: MakeWorker, database: Database
    ):
        job_id = queue_job(database)
        lose(database, job_id)
        with database.transaction() as session:
            lock_job(session, job_id).cancel_requested_at = database_time(session)
        sweep(make_worker(SUCCEEDS))
        assert read_job(database, job_id).status is JobStatus.CANCELLED

    def test_a_job_that_cannot_be_put_back_does_not_stop_it(
        self, make_worker: MakeWorker, database: Database
    ):
        broken, *others = sorted(queue_job(database) for _ in range(3))
        for job_id in (broken, *others):
            lose(database, job_id)
        largest = 2**31 - 1 if database.engine.dialect.name == "postgresql" else 2**63 - 1
        with database.transaction() as session:
            session.add(JobEvent(job_id=broken, seq=largest, kind="message", data={}))
        sweep(make_worker(SUCCEEDS))
        statuses = [read_job(database, job_id).status for job_id in (broken, *others)]
        assert statuses == [JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.QUEUED]

    def test_a_broker_that_is_away_does_not_stop_it(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database)
        lose(database, job_id)
        sweep(make_worker(SUCCEEDS, broker_url="redis://127.0.0.1:1/0"))
        assert read_job(database, job_id).status is JobStatus.QUEUED

    @pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.SUCCEEDED])
    def test_work_folders_go_with_their_jobs(
        self, make_worker: MakeWorker, database: Database, tmp_path: Path, status: JobStatus
    ):
        job_id = queue_job(database)
        worker = make_worker(SUCCEEDS)
        if status.is_terminal:
            run_job(worker, job_id)
        folder = tmp_path / "work" / job_id
        folder.mkdir(parents=True)
        sweep(worker)
        assert folder.exists() is not status.is_terminal

    def test_what_killed_jobs_left_in_the_cache_goes_in_time(self, make_worker: MakeWorker):
        worker = make_worker(SUCCEEDS)
        cache = worker.settings.cache_dir
        (cache / "onnx" / "old.partial").mkdir(parents=True)
        for name in ("old.7.partial", "young.7.partial", "old.npy"):
            (cache / name).write_text("")
        two_days_ago = time.time() - 2 * 24 * 3600
        for path in cache.rglob("old*"):
            os.utime(path, (two_days_ago, two_days_ago))
        clean_up(worker)
        assert {path.name for path in cache.rglob("*")} == {"onnx", "young.7.partial", "old.npy"}
