"""A queued job has one message in the broker, however long it waits and however often workers look."""

from dataclasses import replace
from datetime import timedelta

import pytest
import redis

from app.core.db import Database
from app.core.db.base import database_time
from app.core.db.jobs import Job, lock_job
from app.core.queue import Queue
from app.core.settings import DEFAULT_QUEUE
from tests.processes import frozen, redis_pid
from tests.worker.conftest import MakeWorker
from worker.runner.announcer import announce_lost
from worker.runner.worker import Worker

JOBS = 60
LONG = timedelta(hours=1)


@pytest.fixture
def jobs(database: Database) -> list[str]:
    """Queued and announced an hour ago."""
    with database.transaction() as session:
        long_ago = database_time(session) - LONG
        rows = [
            Job(spec={}, dataset_id="dst_any", method="scratch", announced_at=long_ago) for _ in range(JOBS)
        ]
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


@pytest.fixture
def workers(make_worker: MakeWorker, redis_url: str) -> list[Worker]:
    quick = {"announce_again": timedelta(0), "sweep_interval": timedelta(0)}
    return [make_worker([], broker_url=redis_url, **quick) for _ in range(3)]


def messages(worker: Worker) -> int:
    assert worker.queue.flush(30)
    length = worker.queue.length(DEFAULT_QUEUE)
    assert length is not None
    return length


def test_jobs_that_wait_for_long_have_a_message_each(workers, jobs):
    """Though every announcement is old enough to be repeated at every look."""
    for _ in range(4):
        for worker in workers:
            announce_lost(worker)
            assert messages(worker) <= JOBS
    assert messages(workers[0]) == JOBS


def test_what_a_broker_lost_is_announced_again(workers, jobs, redis_url):
    worker = workers[0]
    for job_id in jobs:
        worker.queue.announce(job_id, DEFAULT_QUEUE)
    assert messages(worker) == JOBS
    with redis.Redis.from_url(redis_url) as client:
        client.ltrim(DEFAULT_QUEUE, 0, JOBS - 11)
    announce_lost(worker)
    assert messages(worker) == JOBS


def test_an_announcement_is_given_time(make_worker, redis_url, jobs):
    worker = make_worker([], broker_url=redis_url)
    first, second = make_worker([], broker_url=redis_url), make_worker([], broker_url=redis_url)
    with worker.database.transaction() as session:
        now = database_time(session)
        for job_id in jobs[1:]:
            lock_job(session, job_id).announced_at = now
    for other in (first, second):
        announce_lost(other)
        assert messages(other) == 1


def test_a_restarted_broker_that_is_empty(make_worker, redis_url, jobs):
    """Its messages are known to be lost: nothing waits until they are old."""
    worker = make_worker(
        [], broker_url=redis_url, sweep_interval=timedelta(minutes=2), announce_again=2 * LONG
    )
    announce_lost(worker)
    assert messages(worker) > 0


def test_jobs_of_another_queue_are_left_to_its_workers(make_worker, redis_url, jobs):
    worker = make_worker([], broker_url=redis_url, queues=["gpu"], announce_again=timedelta(0))
    announce_lost(worker)
    assert messages(worker) == 0


def test_a_frozen_broker_is_left_alone(make_worker, jobs, redis_url):
    worker = make_worker([], broker_url=redis_url, sweep_interval=timedelta(0))
    worker = replace(worker, queue=Queue(redis_url, timeout_s=0.2))
    before = [job.announced_at for job in read_jobs(worker.database)]
    with frozen(redis_pid(redis_url)):
        announce_lost(worker)
        assert [job.announced_at for job in read_jobs(worker.database)] == before
    assert messages_of(redis_url) == 0


def read_jobs(database: Database) -> list[Job]:
    with database.reading() as session:
        return list(session.query(Job).order_by(Job.id))


def messages_of(redis_url: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        return client.llen(DEFAULT_QUEUE)
