"""What the cache of keys does when many ask, when keys are revoked and when the database is away."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.auth.guard import Guard
from app.auth.key_cache import KeyCache
from app.auth.tokens import key_id_of
from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.api_keys import ApiKey
from app.core.settings import Settings
from app.domain.errors import Unauthenticated
from app.projects.service import create_key
from tests.conftest import empty_tables
from tests.processes import wait_until


class Clock:
    """Stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    empty_tables(database)
    yield database
    database.dispose()


@pytest.fixture
def tokens(database: Database) -> list[str]:
    with database.of(DEFAULT_PROJECT).transaction() as session:
        return [create_key(session, name="test", scopes=["read"])[1] for _ in range(3)]


@pytest.fixture
def queries(database: Database) -> Iterator[list[str]]:
    """What the database has been asked of keys."""
    asked: list[str] = []

    def note(_connection, _cursor, statement, *_):
        if "FROM api_keys" in statement:
            asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(database.engine, "before_cursor_execute", note)


def test_many_who_ask_share_a_query_and_then_need_none(database, tokens, queries):
    async def ask() -> None:
        cache = KeyCache(database)
        await asyncio.gather(*(cache.find(token) for token in tokens * 50))
        assert 0 < len(queries) <= 2
        queries.clear()
        await asyncio.gather(*(cache.find(token) for token in tokens * 50))
        assert queries == []
        await cache.close()

    asyncio.run(ask())


def test_a_flood_of_wrong_tokens_costs_few_queries_and_no_memory(database, tokens, queries):
    wrong = [f"sqz_{number:026d}_{'0' * 64}" for number in range(500)] + ["no token at all"] * 500

    async def ask() -> None:
        cache = KeyCache(database)
        answers = await asyncio.gather(*map(cache.find, wrong), return_exceptions=True)
        assert all(isinstance(answer, Unauthenticated) for answer in answers)
        assert 0 < len(queries) <= 2
        assert len(cache) == 0
        await cache.close()

    asyncio.run(ask())


def test_it_is_bounded(database, tokens):
    async def ask() -> None:
        cache = KeyCache(database, size=2)
        for token in tokens:
            await cache.find(token)
            assert len(cache) <= 2
        await cache.close()

    asyncio.run(ask())


def test_a_key_in_use_is_looked_up_again_before_it_must_be(database, tokens, queries, clock):
    async def ask() -> None:
        cache = KeyCache(database, trusted_s=4, clock=clock)
        await cache.find(tokens[0])
        queries.clear()
        clock.now += 3
        await cache.find(tokens[0])
        assert queries == [], "nobody waits for that"
        await asyncio.to_thread(wait_until, lambda: queries != [])
        await cache.close()

    asyncio.run(ask())


def test_a_key_that_another_process_revokes_works_for_seconds_at_most(database, tokens, clock):
    async def ask() -> None:
        cache = KeyCache(database, clock=clock)
        assert cache.trusted_s <= 5
        await cache.find(tokens[0])
        with database.transaction() as session:
            session.get(ApiKey, key_id_of(tokens[0])).revoked_at = datetime.now(UTC)
        clock.now += cache.trusted_s
        with pytest.raises(Unauthenticated, match="revoked"):
            await cache.find(tokens[0])
        assert len(cache) == 0
        await cache.close()

    asyncio.run(ask())


class TestAwayDatabase:
    def test_known_keys_work_for_a_while(self, database, tokens, clock):
        failing = []

        def fail(_connection, _cursor, statement, *_):
            if failing and "FROM api_keys" in statement:
                raise OperationalError(statement, {}, Exception("away"))

        event.listen(database.engine, "before_cursor_execute", fail)

        async def ask() -> None:
            cache = KeyCache(database, trusted_s=5, unchecked_s=600, clock=clock)
            found = await cache.find(tokens[0])
            failing.append(True)
            clock.now += 5
            assert await cache.find(tokens[0]) == found
            with pytest.raises(OperationalError):
                await cache.find(tokens[1])
            clock.now += 600
            with pytest.raises(OperationalError):
                await cache.find(tokens[0])
            await cache.close()

        asyncio.run(ask())

    def test_one_that_hangs_costs_a_known_key_little(self, database, tokens, clock):
        hanging, over = threading.Event(), threading.Event()

        def hang(_connection, _cursor, statement, *_):
            if hanging.is_set() and "FROM api_keys" in statement:
                over.wait(30)

        event.listen(database.engine, "before_cursor_execute", hang)

        async def ask() -> None:
            cache = KeyCache(database, trusted_s=5, patience_s=0.01, clock=clock)
            found = await cache.find(tokens[0])
            hanging.set()
            clock.now += 5
            assert await cache.find(tokens[0]) == found
            assert await cache.find(tokens[0]) == found
            over.set()
            await cache.close()

        asyncio.run(ask())


def test_an_answer_that_takes_long_ends_with_its_key(database, tokens):
    async def events():
        for number in range(4):
            yield b"event %d" % number

    async def listen() -> list[bytes]:
        guard = Guard(Settings(loopback_without_key=False), database)
        connection = {"headers": [(b"authorization", b"Bearer " + tokens[0].encode())]}
        heard = []
        async for chunk in guard.while_admitted(connection, events()):
            heard.append(chunk)
            if len(heard) == 2:
                with database.transaction() as session:
                    session.get(ApiKey, key_id_of(tokens[0])).revoked_at = datetime.now(UTC)
                guard.keys.forget(key_id_of(tokens[0]))
                await asyncio.sleep(0)
        await guard.close()
        return heard

    assert asyncio.run(listen()) == [b"event 0", b"event 1"]
