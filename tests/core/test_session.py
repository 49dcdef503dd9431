"""One block is one transaction, and promises are kept for the case that they were made for."""

import pytest

from app.core.db import after_commit, after_rollback
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
    with database.transaction() as session:
        return len(list_datasets(session, limit=10))
