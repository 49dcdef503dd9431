"""A project runs as many jobs at once as it may, however many workers there are."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.job_queue import claim_job, next_queued_job
from app.core.db.jobs import Job, move
from app.core.db.projects import Project
from app.domain.job_states import JobStatus

OTHER = f"prj_{'1' * 26}"
WORKERS = 4
LEASE = timedelta(minutes=1)


@pytest.fixture
def queued(database: Database) -> list[str]:
    """Jobs of a project that may run two, then one of a project without a limit."""
    with database.transaction() as session:
        session.get(Project, DEFAULT_PROJECT).max_running_jobs = 2
        session.add(Project(id=OTHER, name="other"))
        session.flush()
        jobs = [Job(spec={}, dataset_id="d", method="scratch") for _ in range(6)]
        jobs.append(Job(spec={}, dataset_id="d", method="scratch", project_id=OTHER))
        session.add_all(jobs)
        session.flush()
        return [*sorted(job.id for job in jobs[:-1]), jobs[-1].id]


def claim(database: Database, job_id: str) -> bool:
    with database.transaction() as session:
        return claim_job(session, job_id, owner="w", lease=LEASE) is not None


def next_job(database: Database) -> str | None:
    with database.transaction() as session:
        return next_queued_job(session)


def test_further_ones_wait(database: Database, queued: list[str]):
    *limited, other = queued
    assert [claim(database, job_id) for job_id in limited] == [True, True, False, False, False, False]
    assert next_job(database) == other, "the queue goes on behind them"
    assert claim(database, other)
    assert next_job(database) is None
    with database.transaction() as session:
        move(session, session.get(Job, limited[0]), JobStatus.CANCELLED)
    assert next_job(database) == limited[2]
    assert claim(database, limited[2])


def test_workers_that_claim_at_once(database: Database, queued: list[str]):
    *limited, _ = queued
    with ThreadPoolExecutor(WORKERS) as workers:
        claimed = list(workers.map(lambda job_id: claim(database, job_id), limited))
    assert 1 <= sum(claimed) <= 2
    while sum(claimed) < 2:  # one may have met the other and left its job to the next look
        claimed += [claim(database, job_id) for job_id in limited]
    assert sum(claimed) == 2
    assert next_job(database) == queued[-1]


def test_a_limit_of_none_at_all(database: Database, queued: list[str]):
    with database.transaction() as session:
        session.get(Project, DEFAULT_PROJECT).max_running_jobs = 0
    assert next_job(database) == queued[-1]
    assert not claim(database, queued[0])
