"""Predictions are counted for all processes of the API, and limited by the day."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from app.auth.prediction_quota import PredictionQuota
from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.projects import Project
from app.core.db.usage import predictions_of
from app.domain.errors import RateLimited
from tests.conftest import empty_tables
from tests.processes import wait_until


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    empty_tables(database)
    yield database
    database.dispose()


def allow(database: Database, limit: int | None) -> None:
    with database.transaction() as session:
        session.get(Project, DEFAULT_PROJECT).max_predictions_per_day = limit


def written(database: Database) -> int:
    with database.of(DEFAULT_PROJECT).reading() as session:
        return predictions_of(session, datetime.now(UTC).date())


async def take(quota: PredictionQuota, texts: int) -> int | None:
    await quota.prepare(DEFAULT_PROJECT, texts)
    with quota.taking(DEFAULT_PROJECT, texts) as allowance:
        return allowance and allowance.left


def test_predictions_are_limited_by_the_day(database):
    allow(database, 10)

    async def predict() -> None:
        quota = PredictionQuota(database)
        assert await take(quota, 7) == 3
        with pytest.raises(RateLimited) as refused:
            await take(quota, 4)
        assert refused.value.details["used"] == 7
        assert 0 < refused.value.retry_after_s <= 24 * 3600
        assert await take(quota, 3) == 0
        await quota.close()

    asyncio.run(predict())
    assert written(database) == 10


def test_predictions_are_counted_over_processes_and_restarts(database):
    allow(database, 10)

    async def predict(texts: int) -> None:
        quota = PredictionQuota(database)
        await take(quota, texts)
        await quota.close()

    asyncio.run(predict(6))
    asyncio.run(predict(4))
    with pytest.raises(RateLimited):
        asyncio.run(predict(1))
    assert written(database) == 10


def test_predictions_that_fail_do_not_count(database):
    allow(database, 10)

    async def predict() -> None:
        quota = PredictionQuota(database)
        await quota.prepare(DEFAULT_PROJECT, 10)
        with pytest.raises(ValueError, match="broken"), quota.taking(DEFAULT_PROJECT, 10):
            raise ValueError("broken")
        assert await take(quota, 10) == 0
        await quota.close()

    asyncio.run(predict())


def test_a_new_limit_is_heard_of(database):
    allow(database, 1)
    now = 1000.0

    async def predict() -> None:
        nonlocal now
        quota = PredictionQuota(database, behind_s=5, clock=lambda: now)
        assert await take(quota, 1) == 0
        allow(database, 100)
        with pytest.raises(RateLimited):
            await take(quota, 1)
        now += 6
        assert await take(quota, 1) == 98
        await quota.close()

    asyncio.run(predict())


def test_predictions_are_written_while_there_are_more(database):
    async def predict() -> None:
        quota = PredictionQuota(database, behind_s=0)
        await take(quota, 5)
        await asyncio.to_thread(wait_until, lambda: written(database) == 5)
        await take(quota, 5)
        await quota.close()

    asyncio.run(predict())
    assert written(database) == 10


def test_predictions_without_a_limit_are_counted_too(database):
    async def predict() -> None:
        quota = PredictionQuota(database)
        assert await take(quota, 5) is None
        await quota.close()

    asyncio.run(predict())
    assert written(database) == 5
