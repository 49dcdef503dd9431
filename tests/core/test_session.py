"""One block is one transaction, and promises are kept for the case that they were made for."""

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.db import Database, after_commit, after_rollback
from app.core.db.datasets import Dataset, list_datasets


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


def test_a_wait_for_a_connection_ends(database_url):
    database = Database(database_url, connections=1, wait_s=0.1)
    with database.transaction() as session:
        list_datasets(session, limit=1)
        with pytest.raises(PoolTimeout):
            count(database)
    database.dispose()
