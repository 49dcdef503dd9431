"""Which failed attempts are tried again, when, and what a client sees meanwhile."""

from datetime import timedelta
from itertools import pairwise

import pytest

from app.core.db import Database
from app.core.db.base import database_time
from app.core.db.job_queue import claim_job, next_queued_job, unannounced_jobs
from app.core.settings import DEFAULT_QUEUE, Settings
from app.domain.documents.attempts import AttemptRecord
from app.domain.job_states import JobStatus
from app.jobs.schemas import JobRead
from tests.worker.conftest import MakeWorker
from tests.worker.runner.children import child, history, queue_job, read_job
from worker.runner.announcer import announce_lost
from worker.runner.conclusion import conclude
from worker.runner.protocol import Failed
from worker.runner.queue_tasks import run_job, run_next_job
from worker.runner.retries import retry_delay
from worker.runner.sweeper import sweep
from worker.runner.worker import Worker

KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
LEASE = timedelta(seconds=30)


class TestDelay:
    def delays(self, record: AttemptRecord) -> list[timedelta]:
        settings = Settings(retry_delay=timedelta(seconds=4), max_retry_delay=timedelta(minutes=1))
        return [retry_delay(record, settings) for _ in range(100)]

    @pytest.mark.parametrize("kind", ["failures", "outages"])
    def test_doubles_up_to_its_limit(self, kind: str):
        longest = [max(self.delays(AttemptRecord(**{kind: count}))) for count in (1, 2, 3, 4, 5, 2000)]
        for (shorter, longer), limit_s in zip(pairwise(longest), (8, 16, 32, 60, 60), strict=True):
            assert longer <= timedelta(seconds=limit_s)
            assert longer > shorter or limit_s == 60

    def test_is_random_and_never_less_than_half(self):
        delays = self.delays(AttemptRecord())
        assert timedelta(seconds=2) <= min(delays) < max(delays) <= timedelta(seconds=4)
        assert len(set(delays)) > 90


class TestWaiting:
    def test_nobody_takes_the_job_before_it_is_time(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database)
        worker = make_worker(
            child(KILLED), retry_delay=timedelta(hours=1), max_retry_delay=timedelta(hours=1)
        )
        run_job(worker, job_id)
        assert not run_next_job(worker)
        run_job(worker, job_id)  # as an announcement that was on its way
        sweep(worker)
        job = read_job(database, job_id)
        assert (job.status, job.attempt, job.announced_at) == (JobStatus.QUEUED, 1, None)
        with database.transaction() as session:
            assert unannounced_jobs(session, DEFAULT_QUEUE, older_than=-LEASE) == []
            left = job.retry_at - database_time(session)
        assert timedelta(minutes=29) < left <= timedelta(hours=1)

    def test_when_it_is_time_it_is_announced_and_taken(
        self, make_worker: MakeWorker, database: Database, redis_url: str
    ):
        job_id = queue_job(database)
        run_job(make_worker(child(KILLED)), job_id)
        with database.transaction() as session:
            assert unannounced_jobs(session, DEFAULT_QUEUE, older_than=LEASE) == [job_id]
            assert next_queued_job(session) == job_id
        announce_lost(make_worker(child(""), broker_url=redis_url))
        with database.transaction() as session:
            assert unannounced_jobs(session, DEFAULT_QUEUE, older_than=LEASE) == [], "it is announced once"
            job = claim_job(session, job_id, owner="b", lease=LEASE)
        assert (job.attempt, job.retry_at, job.error_code) == (2, None, None)

    def test_its_representation_and_an_event_say_so(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database)
        run_job(make_worker(child(KILLED)), job_id)
        seen = JobRead.of(job := read_job(database, job_id))
        assert (seen.status, seen.error) == (JobStatus.QUEUED, None)
        assert seen.retry is not None
        assert (seen.retry.code, seen.retry.at, seen.retry.failures) == ("killed", job.retry_at, 1)
        assert "killed by SIGKILL" in seen.retry.message
        event = history(database, job_id, "status")[-1]
        assert (event["status"], event["reason"]) == ("queued", "killed")
        assert event["retry_at"] == seen.model_dump(mode="json")["retry"]["at"]

        run_job(make_worker(child("succeed()")), job_id)
        seen = JobRead.of(read_job(database, job_id))
        assert (seen.status, seen.error, seen.retry) == (JobStatus.SUCCEEDED, None, None)


class TestProgress:
    """On one database: what is counted is no query."""

    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        return sqlite_url

    def test_a_child_s_stages_are_progress(self, make_worker: MakeWorker, database: Database):
        job_id = queue_job(database)
        program = f"for number in (1, 2, 3):\n    events.send(StageStarted(number=number))\n{KILLED}"
        run_job(make_worker(child(program), max_attempts=1), job_id)
        job = read_job(database, job_id)
        assert job.status is JobStatus.QUEUED
        assert job.read_attempt_record() == AttemptRecord(stage=3, last_progress=1)

    def test_attempts_that_come_further_do_not_count(self, make_worker: MakeWorker, database: Database):
        attempts = Attempts(make_worker(child(""), max_attempts=2), queue_job(database))
        assert [attempts.fail(stage=stage) for stage in (2, 2, 3, 1)] == [0, 1, 0, 1]
        assert [attempts.fail(stage=3, step=step) for step in (100, 100, 300, 200)] == [0, 1, 0, 1]
        attempts.fail(stage=3)
        job = read_job(database, attempts.job_id)
        assert (job.status, job.error_code) == (JobStatus.FAILED, "killed")
        assert job.error_message == "It died. 2 attempts in a row made no progress."

    def test_an_outage_does_not_count_as_a_failure(self, make_worker: MakeWorker, database: Database):
        attempts = Attempts(make_worker(child(""), max_attempts=2, max_outages=4), queue_job(database))
        away = "storage_unavailable"
        assert [attempts.fail(code) for code in (away, "killed", away, away)] == [0, 1, 1, 1]
        assert read_job(database, attempts.job_id).status is JobStatus.QUEUED
        attempts.fail(away)
        job = read_job(database, attempts.job_id)
        assert (job.status, job.error_code) == (JobStatus.FAILED, away)
        assert job.error_message == "It died. 4 attempts in a row made no progress."


class Attempts:
    """Attempts at a job that fail."""

    def __init__(self, worker: Worker, job_id: str) -> None:
        self.worker = worker
        self.job_id = job_id

    def fail(self, code: str = "killed", *, stage: int = 0, step: int = 0) -> int:
        """Run one to its failure; how many have failed in a row without progress."""
        with self.worker.database.transaction() as session:
            job = claim_job(session, self.job_id, owner="a", lease=LEASE)
            assert job is not None
            reached = job.read_attempt_record().reached(job.attempt, stage=stage, step=step)
            job.attempt_record = reached.to_stored()
        ending = Failed(code=code, message="It died.", retryable=True)
        with self.worker.database.transaction() as session:
            conclude(self.worker, session, job, ending, None)
        return read_job(self.worker.database, self.job_id).read_attempt_record().failures
