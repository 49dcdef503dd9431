"""The life of a job, and its queries on both databases."""

from datetime import timedelta
from itertools import product

import pytest

from app.core.db.base import utc_now
from app.core.db.jobs import (
    Job,
    claim_job,
    count_by_status,
    expired_jobs,
    hold_lease,
    list_events,
    lock_job,
    move,
    next_queued_job,
    unannounced_jobs,
)
from app.core.errors import Conflict
from app.core.ids import is_id, new_id
from app.core.states import TRANSITIONS, JobStatus, transition

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
        job = Job(spec={}, teacher_id="mdl_1", dataset_id="dst_1", method="scratch", **values)
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

    def test_the_history_is_numbered(self, database):
        job_id = add_job(database)
        with database.transaction() as session:
            job = claim_job(session, job_id, owner="a", lease=LEASE)
            move(session, job, JobStatus.FAILED)
        with database.transaction() as session:
            events = list_events(session, job_id, after=0, limit=10)
            assert [(event.seq, event.data["status"]) for event in events] == [(1, "running"), (2, "failed")]
            assert count_by_status(session) == {JobStatus.FAILED: 1}


def test_the_oldest_queued_job_is_next(database):
    jobs = [add_job(database) for _ in range(3)]
    with database.transaction() as session:
        assert next_queued_job(session) == min(jobs)


def test_jobs_that_nobody_heard_of(database):
    old = utc_now() - timedelta(minutes=1)
    lost = add_job(database, created_at=old)
    add_job(database, created_at=old, announced_at=utc_now())
    add_job(database)
    with database.transaction() as session:
        assert unannounced_jobs(session, older_than=LEASE) == [lost]


def test_times_come_back_in_utc(database):
    job_id = add_job(database)
    with database.transaction() as session:
        created_at = lock_job(session, job_id).created_at
    assert created_at.utcoffset() == timedelta(0)
    assert abs(utc_now() - created_at) < timedelta(minutes=1)


def test_ids_sort_by_time_and_are_recognised():
    first, second = new_id("job"), new_id("mdl")
    assert first[4:14] <= second[4:14]
    assert is_id("job", first)
    assert not is_id("mdl", first)
    assert not any(is_id("job", text) for text in ("", "job_", first + "0", first[:-1] + "\0", first.lower()))
