"""Jobs that run too long, and processes that hang."""

import logging
import sys
from datetime import timedelta

import pytest

from app.core.db import Database
from app.core.db.jobs import lock_job
from app.domain.job_states import JobStatus
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, history, queue_job, read_job
from worker.runner.queue_tasks import run_job

STALL = timedelta(seconds=0.8)


def quick_child(body: str) -> list[str]:
    """One that starts at once, because it imports nothing of the service."""
    return [sys.executable, "-S", "-c", f"import faulthandler, os, signal, time\n{body}"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """On one database: what is measured is no query."""
    return sqlite_url


class TestStall:
    @pytest.mark.parametrize(
        "hangs",
        ["time.sleep(600)", "os.kill(os.getpid(), signal.SIGSTOP)", "while True: pass"],
        ids=["waiting", "frozen", "spinning"],
    )
    def test_a_process_that_hangs_is_ended_and_the_job_retried(
        self, make_worker: MakeWorker, database: Database, hangs: str
    ):
        job_id = queue_job(database)
        program = quick_child(f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{hangs}")
        run_job(make_worker(program, stall_limit=STALL, cancel_grace=STALL / 4), job_id)
        job = read_job(database, job_id)
        assert (job.status, job.error_code) == (JobStatus.QUEUED, "stalled")
        assert job.error_message is not None
        assert f"no progress for {STALL}" in job.error_message
        assert history(database, job_id, "status")[-1]["reason"] == "stalled"

    def test_its_stacks_are_in_the_log(
        self, make_worker: MakeWorker, database: Database, caplog: pytest.LogCaptureFixture
    ):
        caplog.set_level(logging.INFO)
        program = quick_child("faulthandler.enable()\ndef hang():\n    time.sleep(600)\nhang()")
        run_job(make_worker(program, stall_limit=STALL), queue_job(database))
        assert "in hang" in caplog.text

    def test_one_that_shows_signs_of_progress_may_take_its_time(
        self, make_worker: MakeWorker, database: Database
    ):
        job_id = queue_job(database)
        seconds = 2 * STALL.total_seconds()
        program = f"""
for _ in range(20):
    os.write(1, b'{{"kind": "alive"}}\\n')
    time.sleep({seconds / 20})
"""
        run_job(make_worker(quick_child(program), stall_limit=STALL), job_id)
        job = read_job(database, job_id)
        assert job.error_code == "worker_died", "it ended by itself"
        assert job.running_s > STALL.total_seconds()


class TestTimeLimit:
    def test_ends_the_job(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database)
        with database.transaction() as session:
            lock_job(session, job_id).running_s = 100  # by earlier attempts
        run_job(make_worker(child("time.sleep(600)"), job_time_limit=timedelta(seconds=100)), job_id)
        job = read_job(database, job_id)
        assert (job.status, job.error_code, job.attempt) == (JobStatus.FAILED, "timed_out", 1)
        assert job.error_message is not None
        assert "0:01:40" in job.error_message

    @pytest.mark.parametrize(("asked_s", "status"), [(50, JobStatus.FAILED), (1e9, JobStatus.SUCCEEDED)])
    def test_a_job_may_ask_for_less(
        self, make_worker: MakeWorker, database: Database, asked_s: float, status: JobStatus
    ):
        job_id = queue_job(database)
        with database.transaction() as session:
            job = lock_job(session, job_id)
            job.spec = {**job.spec, "time_limit_s": asked_s}
            job.running_s = 60
        program = "succeed()" if status is JobStatus.SUCCEEDED else "time.sleep(600)"
        run_job(make_worker(child(program)), job_id)
        assert read_job(database, job_id).status is status
