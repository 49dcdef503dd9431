"""Many who read jobs at once share queries, and nothing else."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from sqlalchemy import event

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.jobs import Job
from app.domain.errors import NotFound
from app.jobs.polling import JobPolling

DATASET = "dst_00000000000000000000000000"
SPEC = {"dataset": DATASET, "method": {"name": "scratch"}, "target": {"compression_ratio": 2}}


@pytest.fixture
def job_ids(database: Database) -> list[str]:
    with database.transaction() as session:
        jobs = [Job(spec=SPEC, dataset_id=DATASET, method="scratch") for _ in range(3)]
        session.add_all(jobs)
        session.flush()
        return [job.id for job in jobs]


@pytest.fixture
def queries(database: Database) -> Iterator[list[str]]:
    """What the database has been asked."""
    asked: list[str] = []

    def note(_connection, _cursor, statement, *_):
        asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(database.engine, "before_cursor_execute", note)


def test_each_gets_its_own_job_from_few_queries(database, job_ids, queries):
    async def poll() -> list[bytes]:
        polling = JobPolling(database)
        return await asyncio.gather(*(polling.read(DEFAULT_PROJECT, job_id) for job_id in job_ids * 30))

    answers = asyncio.run(poll())
    assert [json.loads(answer)["id"] for answer in answers] == job_ids * 30
    assert 0 < len(queries) <= 2


def test_a_job_that_does_not_exist_is_missing_for_its_reader_alone(database, job_ids):
    async def poll() -> list[bytes | BaseException]:
        polling = JobPolling(database)
        ids = [job_ids[0], "job_00000000000000000000000000", "no id at all", job_ids[1]]
        return await asyncio.gather(
            *(polling.read(DEFAULT_PROJECT, id_) for id_ in ids), return_exceptions=True
        )

    first, unknown, malformed, second = asyncio.run(poll())
    assert isinstance(unknown, NotFound)
    assert isinstance(malformed, NotFound)
    assert [json.loads(answer)["id"] for answer in (first, second)] == job_ids[:2]


def test_a_client_that_leaves_takes_nobody_along(database, job_ids):
    async def poll() -> bytes:
        polling = JobPolling(database)
        leaving = asyncio.create_task(polling.read(DEFAULT_PROJECT, job_ids[0]))
        staying = asyncio.create_task(polling.read(DEFAULT_PROJECT, job_ids[1]))
        await asyncio.sleep(0)
        leaving.cancel()
        return await staying

    assert json.loads(asyncio.run(poll()))["id"] == job_ids[1]


def test_an_answer_is_never_older_than_its_request(database, job_ids):
    async def poll() -> str:
        polling = JobPolling(database)
        earlier = asyncio.create_task(polling.read(DEFAULT_PROJECT, job_ids[0]))
        await asyncio.sleep(0)
        await asyncio.to_thread(change)
        status = json.loads(await polling.read(DEFAULT_PROJECT, job_ids[0]))["attempt"]
        await earlier
        return status

    def change() -> None:
        with database.transaction() as session:
            job = session.get(Job, job_ids[0])
            job.attempt = 7

    assert asyncio.run(poll()) == 7
