"""Streams wait to be told: many of them cost nothing, and what is lost on the way is made good."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from sqlite3 import connect

import pytest
from sqlalchemy import event, text

from app.core.db import Database
from app.core.db.jobs import Job, append_event, lock_job, move
from app.domain.documents.events import Message
from app.domain.job_states import JobStatus
from app.jobs.events import EventStreams

LISTENERS = 500
NEVER = 1e6


@pytest.fixture
def job_id(database: Database) -> str:
    return add_job(database)


@pytest.fixture
def queries(database: Database) -> Iterator[list[str]]:
    """What the database has been asked for streams."""
    asked: list[str] = []

    def note(_connection, _cursor, statement, *_):
        asked.extend(re.findall("FROM jobs|FROM job_events", statement))

    event.listen(database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(database.engine, "before_cursor_execute", note)


def add_job(database: Database) -> str:
    with database.transaction() as session:
        job = Job(spec={}, dataset_id="dst_any", method="scratch")
        session.add(job)
        session.flush()
        return job.id


def say(database: Database, job_id: str, words: str) -> None:
    with database.transaction() as session:
        lock_job(session, job_id)
        append_event(session, job_id, Message(text=words))


def cancel(database: Database, job_id: str) -> None:
    with database.transaction() as session:
        move(session, lock_job(session, job_id), JobStatus.CANCELLED)


@asynccontextmanager
async def running(database: Database, look_again_s: float = NEVER) -> AsyncIterator[EventStreams]:
    streams = EventStreams(database, look_again_s=look_again_s)
    try:
        yield streams
    finally:
        await streams.close()


class Follower:
    """Somebody who reads a stream."""

    def __init__(self, streams: EventStreams, job_id: str) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.reading = asyncio.create_task(self._read(streams.stream(job_id, after=0)))

    async def _read(self, stream: AsyncIterator[bytes]) -> None:
        async for chunk in stream:
            self.last = chunk
            for line in chunk.decode().splitlines():
                if line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                    self.heard.put_nowait(data["data"].get("text", "status") if "data" in data else "done")

    async def next(self) -> str:
        async with asyncio.timeout(30):
            return await self.heard.get()


def test_many_listeners_share_a_few_queries(database, job_id, queries):
    other = add_job(database)

    async def follow() -> int:
        async with running(database) as streams:
            followers = [Follower(streams, job_id) for _ in range(LISTENERS)]
            await asyncio.to_thread(say, database, job_id, "first")
            assert [await follower.next() for follower in followers] == ["first"] * LISTENERS
            queries.clear()
            await asyncio.to_thread(say, database, other, "nobody listens")
            await asyncio.to_thread(say, database, job_id, "second")
            assert [await follower.next() for follower in followers] == ["second"] * LISTENERS
            asked = len(queries)
            await asyncio.to_thread(cancel, database, job_id)
            for follower in followers:
                assert [await follower.next() for _ in (1, 2)] == ["status", "done"]
                await follower.reading
            return asked

    assert asyncio.run(follow()) < 20


def test_what_comes_while_a_stream_is_sent_is_not_missed(database, job_id):
    async def follow() -> list[str]:
        async with running(database) as streams:
            follower = Follower(streams, job_id)
            for number in range(20):
                await asyncio.to_thread(say, database, job_id, str(number))
            return [await follower.next() for _ in range(20)]

    assert asyncio.run(follow()) == [str(number) for number in range(20)]


def test_sqlite_notices_what_another_process_writes(sqlite_url, tmp_path):
    database = Database(sqlite_url)
    job_id = add_job(database)

    def write() -> None:
        with closing(connect(str(Path(str(database.engine.url.database))))) as other, other:
            other.execute(
                "INSERT INTO job_events (job_id, seq, created_at, kind, data) "
                "VALUES (?, 1, '2026-11-21 00:00:00', 'message', '{\"text\": \"hello\"}')",
                [job_id],
            )

    async def follow() -> str:
        async with running(database) as streams:
            follower = Follower(streams, job_id)
            await asyncio.to_thread(write)
            return await follower.next()

    assert asyncio.run(follow()) == "hello"
    database.dispose()


class TestLostNotifications:
    @pytest.fixture
    def database(self, postgres_url) -> Iterator[Database]:
        database = Database(postgres_url)
        yield database
        database.dispose()

    def test_a_stream_looks_for_itself(self, database, job_id):
        """As for a worker of an earlier version, which notifies nobody."""

        def write() -> None:
            insert = "INSERT INTO job_events (job_id, seq, created_at, kind, data) VALUES "
            with database.transaction() as session:
                session.execute(
                    text(insert + "(:job, 1, now(), 'message', '{\"text\": \"hello\"}')"), {"job": job_id}
                )

        async def follow() -> str:
            async with running(database, look_again_s=0.2) as streams:
                follower = Follower(streams, job_id)
                await asyncio.to_thread(write)
                return await follower.next()

        assert asyncio.run(follow()) == "hello"

    def test_a_lost_connection_is_opened_again(self, database, job_id, caplog):
        caplog.set_level(logging.INFO)

        def disconnect() -> None:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
            with database.transaction() as session:
                assert True in session.scalars(text(query)).all()
            say(database, job_id, "meanwhile")

        async def follow() -> list[str]:
            async with running(database) as streams:
                follower = Follower(streams, job_id)
                await asyncio.to_thread(say, database, job_id, "before")
                heard = [await follower.next()]
                await asyncio.to_thread(disconnect)
                heard.append(await follower.next())
                await asyncio.to_thread(say, database, job_id, "after")
                return [*heard, await follower.next()]

        assert asyncio.run(follow()) == ["before", "meanwhile", "after"]
        messages = [record.getMessage() for record in caplog.records if "notified" in record.getMessage()]
        assert len(messages) == 2, "that it was lost, and that it is back"


def test_streams_end_when_the_server_stops(database, job_id):
    async def follow() -> None:
        async with running(database) as streams:
            followers = [Follower(streams, job_id) for _ in range(3)]
            await asyncio.to_thread(say, database, job_id, "hello")
            for follower in followers:
                assert await follower.next() == "hello"
            streams.stop()
            async with asyncio.timeout(30):
                await asyncio.gather(*(follower.reading for follower in followers))
            assert {follower.last for follower in followers} == {
                b": the server is stopping: connect again\n\n"
            }

    asyncio.run(follow())
