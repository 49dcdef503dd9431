"""Where a transaction begins and ends. Nothing else calls ``commit()``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker

_CONNECT_TIMEOUT_S = 5
_AFTER_COMMIT = "after_commit"
_AFTER_ROLLBACK = "after_rollback"


class Database:
    """An engine and the one way to a session on it."""

    def __init__(self, url: str) -> None:
        self.engine = _sqlite_engine(url) if url.startswith("sqlite") else _postgres_engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end of the block, then does what was promised for that case.

        An exception rolls back and does what was promised for this one. The database hears of the
        transaction with its first query: what comes before holds no lock.
        """
        with self._sessions() as session:
            try:
                with session.begin():
                    yield session
            except BaseException:
                _keep_promises(session, _AFTER_ROLLBACK)
                raise
            _keep_promises(session, _AFTER_COMMIT)

    def dispose(self) -> None:
        self.engine.dispose()


def after_commit(session: Session, callback: Callable[[], object]) -> None:
    """Promise something for the moment the session's transaction is durable."""
    session.info.setdefault(_AFTER_COMMIT, []).append(callback)


def after_rollback(session: Session, callback: Callable[[], object]) -> None:
    """Promise to undo something outside the database if the session's transaction fails."""
    session.info.setdefault(_AFTER_ROLLBACK, []).append(callback)


def _keep_promises(session: Session, case: str) -> None:
    for callback in session.info.pop(case, ()):
        callback()


def _postgres_engine(url: str) -> Engine:
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S})


def _sqlite_engine(url: str) -> Engine:
    if path := make_url(url).database:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own implicit BEGIN would come too late
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        # A deferred transaction that reads and then writes fails with SQLITE_BUSY instead of waiting.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
