"""A server that is frozen, not dead, keeps its connections open and answers nothing: no wait is long."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.core.db import Database, Limits
from tests.processes import frozen, postgres_pid, wait_until

ANSWER_S = 0.5


@pytest.fixture
def database(postgres_url) -> Iterator[Database]:
    database = Database(postgres_url, limits=Limits(answer_s=ANSWER_S, ping_s=ANSWER_S, connect_s=1))
    yield database
    database.dispose()


def ask(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(text("select 1"))


def test_a_query_that_was_under_way(database):
    pid = postgres_pid(database.engine)

    def work() -> None:
        with database.transaction() as session:
            session.execute(text("select 1"))
            with frozen(pid):
                session.execute(text("select 1"))

    with pytest.raises(OperationalError, match=r"no answer from the server in 0\.5 s"):
        work()
    assert ask(database) == 1


def test_new_queries(database):
    """The first finds out, and those after it do not wait as well."""
    with ThreadPoolExecutor(5) as clients, frozen(postgres_pid(database.engine)):
        started = time.perf_counter()
        for client in [clients.submit(ask, database) for _ in range(5)]:
            with pytest.raises(OperationalError):
                client.result()
        first_s = time.perf_counter() - started
        started = time.perf_counter()
        for _ in range(20):
            with pytest.raises(OperationalError):
                ask(database)
        assert time.perf_counter() - started < first_s, (
            "one tries to connect at a time, and not at once again"
        )
    wait_until(lambda: answers(database))


def answers(database: Database) -> bool:
    try:
        return ask(database) == 1
    except OperationalError:
        return False


def test_a_slow_answer_is_waited_for(database):
    with database.reading() as session:
        assert session.scalar(text("select 1 from pg_sleep(0.2)")) == 1


def test_connections_of_many_threads_are_opened_side_by_side(database):
    barrier = threading.Barrier(5)

    def hold() -> int:
        with database.reading() as session:
            answer = session.scalar(text("select 1"))
            barrier.wait(30)
            return answer

    with ThreadPoolExecutor(5) as threads:
        assert [future.result() for future in [threads.submit(hold) for _ in range(5)]] == [1] * 5


def test_limits_within_a_timeout():
    assert Limits.within(timedelta(seconds=20)) == Limits()
    assert Limits.within(timedelta(seconds=4)) == Limits(1, 3, 2, 4, pytest.approx(0.6), 1)
