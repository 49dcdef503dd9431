"""The life of a job, and its queries on both databases."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta, tzinfo
from itertools import product

import pytest
from sqlalchemy import func, select

from app.core.db import DEFAULT_PROJECT, Database, base
from app.core.db.base import database_time
from app.core.db.job_queue import (
    claim_job,
    count_queued,
    expired_jobs,
    hold_lease,
    lock_expired_job,
    next_queued_job,
    unannounced_jobs,
)
from app.core.db.jobs import Job, count_by_status, list_events, lock_job, move
from app.core.ids import is_id, new_id
from app.core.settings import DEFAULT_QUEUE
from app.domain.errors import Conflict
from app.domain.job_states import TRANSITIONS, JobStatus, transition

LEASE = timedelta(seconds=30)


class TestTransitions:
    @pytest.mark.parametrize(("from_", "to"), list(product(JobStatus, JobStatus)))
    def test_only_those_of_the_table(self, from_, to):
        job = Job(id="job_1", status=from_)
        if to in TRANSITIONS[from_]:
            transition(job, to)
            assert job.status is to
        else:
            with pytest.raises(Conflict):
                transition(job, to)
            assert job.status is from_

    def test_an_end_is_an_end(self):
        assert {status for status in JobStatus if status.is_terminal} == {
            JobStatus.SUCCEEDED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        }


def add_job(database, **values) -> str:
    with database.transaction() as session:
        job = Job(spec={}, dataset_id="dst_1", method="scratch", **values)
        session.add(job)
        session.flush()
        return job.id


class TestClaim:
    def test_once(self, database):
        job_id = add_job(database)
        with database.transaction() as session:
            job = claim_job(session, job_id, owner="a", lease=LEASE)
            assert (job.status, job.attempt, job.lease_owner) == (JobStatus.RUNNING, 1, "a")
        with database.transaction() as session:
            assert claim_job(session, job_id, owner="b", lease=LEASE) is None

    def test_the_lease_belongs_to_an_attempt(self, database):
        job_id = add_job(database)
        with database.transaction() as session:
            claim_job(session, job_id, owner="a", lease=-LEASE)
        with database.transaction() as session:
            assert expired_jobs(session) == [job_id]
            move(session, lock_job(session, job_id), JobStatus.QUEUED)
        with database.transaction() as session:
            claim_job(session, job_id, owner="b", lease=LEASE)
        with database.transaction() as session:
            assert hold_lease(session, job_id, attempt=1, lease=LEASE) is None
            assert hold_lease(session, job_id, attempt=2, lease=LEASE) is not None
            assert expired_jobs(session) == []

    def test_its_renewals_add_up_to_the_time_that_a_job_has_run(self, database):
        job_id = add_job(database)
        for attempt in (1, 2):
            with database.transaction() as session:
                claim_job(session, job_id, owner="a", lease=LEASE)
                began = database_time(session)
            with database.transaction() as session:
                hold_lease(session, job_id, attempt=attempt, lease=LEASE)
                before = lock_job(session, job_id).running_s
            with database.transaction() as session:
                session.get_one(Job, job_id).lease_expires_at -= timedelta(seconds=40)
            with database.transaction() as session:
                job = hold_lease(session, job_id, attempt=attempt, lease=LEASE)
                most = (database_time(session) - began).total_seconds() + 40
                # Both are sums of floats: they are compared to the microsecond.
                assert 40 <= round(job.running_s - before, 6) <= round(most, 6)
                move(session, job, JobStatus.QUEUED)
        assert 80 <= job.running_s < 80 + 30

    def test_the_history_is_numbered(self, database):
        job_id = add_job(database)
        with database.transaction() as session:
            job = claim_job(session, job_id, owner="a", lease=LEASE)
            move(session, job, JobStatus.FAILED)
        with database.transaction() as session:
            events = list_events(session, job_id, after=0, limit=10)
            assert [(event.seq, event.data["status"]) for event in events] == [(1, "running"), (2, "failed")]
            assert count_by_status(session) == {(DEFAULT_PROJECT, "failed"): 1}


class TestClocks:
    """A host whose clock is wrong neither takes others' jobs nor loses its own."""

    @pytest.fixture(params=[-40, 40])
    def wrong_clock(self, request) -> Callable[[], AbstractContextManager[None]]:
        return lambda: clock_off_by(timedelta(seconds=request.param))

    def test_of_the_host_that_looks_for_lost_jobs(self, database, wrong_clock):
        held, lost = [add_job(database) for _ in range(2)]
        with database.transaction() as session:
            claim_job(session, held, owner="a", lease=LEASE)
            claim_job(session, lost, owner="a", lease=-LEASE)
        with wrong_clock(), database.transaction() as session:
            assert expired_jobs(session) == [lost]
            assert lock_expired_job(session, held) is None
            assert lock_expired_job(session, lost) is not None

    @pytest.mark.parametrize("renewed", [False, True])
    def test_of_the_host_that_holds_the_job(self, database, wrong_clock, renewed):
        held, lost = [add_job(database) for _ in range(2)]
        with wrong_clock():
            for job_id, lease in ((held, LEASE), (lost, -LEASE)):
                with database.transaction() as session:
                    claim_job(session, job_id, owner="a", lease=-lease if renewed else lease)
                if renewed:
                    with database.transaction() as session:
                        hold_lease(session, job_id, attempt=1, lease=lease)
        with database.transaction() as session:
            assert expired_jobs(session) == [lost]

    def test_of_the_host_that_created_the_job(self, database, wrong_clock):
        with wrong_clock():
            job_id = add_job(database)
        with database.transaction() as session:
            assert unannounced_jobs(session, DEFAULT_QUEUE, older_than=LEASE) == []
            assert unannounced_jobs(session, DEFAULT_QUEUE, older_than=-LEASE) == [job_id]


@contextmanager
def clock_off_by(offset: timedelta) -> Iterator[None]:
    """Whatever this process asks Python for the time, in the module where the tables' times come from."""

    class Off(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + offset

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "datetime", Off)
        true_time = time.time
        patch.setattr("time.time", lambda: true_time() + offset.total_seconds())
        yield


def test_a_lease_begins_when_the_lock_is_granted(postgres_url):
    """Not when the transaction began, which may have waited for it."""
    database = Database(postgres_url)
    job_id = add_job(database)
    with database.transaction() as session:
        job = claim_job(session, job_id, owner="a", lease=LEASE)
        assert job.lease_expires_at - LEASE > session.scalar(select(func.now()))
    database.dispose()


def test_the_oldest_queued_job_is_next(database):
    jobs = [add_job(database) for _ in range(3)]
    with database.transaction() as session:
        assert next_queued_job(session) == min(jobs)


def test_a_queue_of_its_own(database):
    other = add_job(database, queue="gpu")
    first = add_job(database)
    with database.transaction() as session:
        assert next_queued_job(session) == first
        assert next_queued_job(session, ["gpu"]) == other
        assert next_queued_job(session, ["none"]) is None
        assert (count_queued(session, "gpu"), count_queued(session, "none")) == (1, 0)


def test_jobs_that_were_announced_long_ago(database):
    with database.transaction() as session:
        now = database_time(session)
    older, old = (add_job(database, announced_at=now - timedelta(minutes=age)) for age in (2, 1))
    add_job(database, announced_at=now - timedelta(minutes=1), queue="gpu")
    add_job(database, announced_at=now)
    add_job(database)
    with database.transaction() as session:
        assert unannounced_jobs(session, DEFAULT_QUEUE, older_than=LEASE) == [older, old]


def test_times_come_back_in_utc(database):
    job_id = add_job(database)
    with database.transaction() as session:
        created_at, now = lock_job(session, job_id).created_at, database_time(session)
    assert created_at.utcoffset() == now.utcoffset() == timedelta(0)
    assert timedelta(0) <= now - created_at < timedelta(minutes=1)


def test_ids_sort_by_time_and_are_recognised():
    first, second = new_id("job"), new_id("mdl")
    assert first[4:14] <= second[4:14]
    assert is_id("job", first)
    assert not is_id("mdl", first)
    assert not any(is_id("job", text) for text in ("", "job_", first + "0", first[:-1] + "\0", first.lower()))
