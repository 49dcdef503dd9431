"""One block is one transaction, and promises are kept for the case that they were made for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import delete, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.db import Database, after_commit, after_rollback
from app.core.db.datasets import Dataset, list_datasets
from app.core.db.postgres import Limits
from tests.processes import wait_until


def test_commit(database):
    done = []
    with database.transaction() as session:
        session.add(Dataset(name="a", manifest_json={}))
        after_commit(session, lambda: done.append(count(database)))
        after_rollback(session, lambda: done.append("rollback"))
        assert done == []
    assert done == [1]  # what a promise sees is durable


def test_rollback(database):
    done = []

    def fail() -> None:
        with database.transaction() as session:
            session.add(Dataset(name="a", manifest_json={}))
            session.flush()
            after_commit(session, lambda: done.append("commit"))
            after_rollback(session, lambda: done.append(count(database)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert done == [0]


class TestLimits:
    """No session holds up the others without an end."""

    @pytest.fixture
    def postgres(self, postgres_url) -> Iterator[Callable[..., Database]]:
        with ExitStack() as opened:

            def connect(options: str = "", **limits: Any) -> Database:
                url = make_url(postgres_url).update_query_dict({"options": options} if options else {})
                database = Database(url.render_as_string(hide_password=False), **limits)
                opened.callback(database.dispose)
                return database

            yield connect

    def test_are_the_servers_to_keep(self, postgres):
        assert shown(postgres()) == ["5s", "15s", "10s"]
        assert shown(postgres(limits=Limits(lock_s=0.25))) == ["250ms", "15s", "10s"]
        assert shown(postgres("-c statement_timeout=1min")) == ["5s", "1min", "10s"], (
            "the URL has the last word"
        )
        assert shown(postgres(limits=None)) == ["0", "0", "0"], "migrations take as long as they take"

    def test_a_lock_is_waited_for_so_long(self, postgres):
        holder, other = postgres(), postgres(limits=Limits(lock_s=0.1))
        lock = text("lock table jobs in exclusive mode")
        with holder.transaction() as session:
            session.execute(lock)
            with pytest.raises(OperationalError, match="lock timeout"), other.transaction() as waiting:
                waiting.execute(lock)

    def test_a_query_takes_so_long(self, postgres):
        database = postgres(limits=Limits(statement_s=0.1))
        with pytest.raises(OperationalError, match="statement timeout"), database.transaction() as session:
            session.execute(text("select pg_sleep(60)"))

    def test_a_transaction_is_idle_so_long(self, postgres):
        database = postgres(limits=Limits(idle_in_transaction_s=0.1))

        def write_late() -> None:
            with database.transaction() as session:
                session.add(Dataset(name="late", manifest_json={}))
                session.flush()
                pid = session.scalar(text("select pg_backend_pid()"))
                wait_until(lambda: not is_connected(postgres(), pid))

        with pytest.raises(DBAPIError):
            write_late()
        assert count(database) == 0, "and the next transaction has a connection that works"

    def test_sqlite_is_waited_for_so_long(self, sqlite_url):
        database = Database(sqlite_url)
        with database.transaction() as session:
            assert session.scalar(text("pragma busy_timeout")) == 30_000
        database.dispose()


def shown(database: Database) -> list[str]:
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    with database.transaction() as session:
        return [session.scalar(text(f"show {name}")) for name in names]


def is_connected(database: Database, pid: int) -> bool:
    with database.transaction() as session:
        found = session.scalar(text("select count(*) from pg_stat_activity where pid = :pid"), {"pid": pid})
    return found > 0


def count(database) -> int:
    with database.reading() as session:
        return len(list_datasets(session, limit=10))


class TestReading:
    def test_sees_what_was_committed(self, database):
        with database.reading() as reading:
            assert list_datasets(reading, limit=10) == []
            with database.transaction() as session:
                session.add(Dataset(name="a", manifest_json={}))
            assert len(list_datasets(reading, limit=10)) == 1

    def test_waits_for_no_writer(self, database):
        with database.transaction() as session:
            session.add(Dataset(name="a", manifest_json={}))
            session.flush()
            assert count(database) == 0

    def test_changes_nothing(self, database):
        with database.reading() as session:
            session.add(Dataset(name="a", manifest_json={}))
            with pytest.raises(TypeError, match="transaction"):
                session.flush()
        with database.reading() as session, pytest.raises(TypeError, match="transaction"):
            session.execute(delete(Dataset))


def test_one_in_use_is_closed_when_it_is_given_back(database_url):
    """Not when Python happens to collect it: a thread may outlast the server's end."""
    database = Database(database_url)
    with database.reading() as session:
        driver = session.connection().connection.dbapi_connection
        database.dispose()
        assert session.scalar(text("SELECT 1")) == 1
    with pytest.raises(Exception, match=r"(?i)closed"):
        driver.execute("SELECT 1")


def test_a_wait_for_a_connection_ends(database_url):
    database = Database(database_url, connections=1, wait_s=0.1)
    with database.transaction() as session:
        list_datasets(session, limit=1)
        with pytest.raises(PoolTimeout):
            count(database)
    database.dispose()
