"""Which jobs have new events: the database tells whoever listens, whichever process wrote them.

A notification is a hint and may be lost, with the connection that it would have come on, or because the
writer is of an earlier version. So listeners are also woken at intervals, and look for themselves.
"""

import logging
import os
import select
import threading
from collections.abc import Callable, Collection
from time import monotonic
from typing import Any, TypeAlias

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from app.core.db.session import Database, WriteSession

logger = logging.getLogger(__name__)

_CHANNEL = "squeeze_job_events"
_LOOK_AGAIN_S = 10.0
_SQLITE_POLL_S = 0.25
_RECONNECT_S = 1.0
_JOIN_S = 2.0

Wake: TypeAlias = Callable[[Collection[str] | None], None]
"""Called from a thread of its own with the ids of jobs that have new events; with None when any may."""


def notify_of_events(session: WriteSession, job_id: str) -> None:
    """Tell those who listen, once the transaction is committed, that a job has new events.

    SQLite has no notifications: there the listener notices the commit.
    """
    told: set[str] = session.info.setdefault(_CHANNEL, set())
    if job_id not in told and session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_notify(_CHANNEL, job_id)))
        told.add(job_id)


class EventListener:
    """One thread that listens for all coroutines of a process, between ``start`` and ``close``.

    Args:
        database: on PostgreSQL, one connection beside its pool listens; on SQLite, one looks whether
            anything was committed: at once for this process, within a quarter of a second for others.
        wake: takes the news.
        look_again_s: how often all are woken without a notification.
    """

    def __init__(self, database: Database, wake: Wake, *, look_again_s: float = _LOOK_AGAIN_S) -> None:
        self._database = database
        self._wake = wake
        self._look_again_s = look_again_s
        self._woken_at = monotonic()
        self._is_closing = False
        self._is_lost = False
        self._interrupted = os.eventfd(0, os.EFD_NONBLOCK)
        is_postgres = database.engine.dialect.name == "postgresql"
        self._thread = threading.Thread(
            target=self._repeat,
            args=(self._listen if is_postgres else self._look,),
            name="event-listener",
            daemon=True,
        )

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread, or leave it behind where it waits for a server that does not answer."""
        self._is_closing = True
        self._interrupt()
        self._thread.join(_JOIN_S)
        if not self._thread.is_alive():
            os.close(self._interrupted)

    def _interrupt(self) -> None:
        os.eventfd_write(self._interrupted, 1)

    def _repeat(self, listen: Callable[[sa.Connection], None]) -> None:
        """Listen, and again where the connection is lost."""
        while not self._is_closing:
            try:
                with self._database.own_connection() as connection:
                    listen(connection)
            except (SQLAlchemyError, psycopg.Error) as error:
                if not self._is_lost:
                    logger.warning("not notified of events any more: %s", str(error).partition("\n")[0])
                self._is_lost = True
                self._wait(_RECONNECT_S)

    def _listen(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"LISTEN {_CHANNEL}")
        driver: Any = connection.connection.dbapi_connection
        self._look_at_all()  # what came before the connection
        while not self._is_closing:
            self._wait(self._woken_at + self._look_again_s - monotonic(), driver.fileno())
            if jobs := {notification.payload for notification in driver.notifies(timeout=0)}:
                self._wake(jobs)
            if monotonic() >= self._woken_at + self._look_again_s:
                connection.exec_driver_sql("SELECT 1")  # raises where the server is gone without a word
                self._look_at_all()

    def _look(self, connection: sa.Connection) -> None:
        with self._database.on_commit(self._interrupt):
            version, last = _data_version(connection), _last_event(connection)
            self._look_at_all()
            while not self._is_closing:
                self._wait(_SQLITE_POLL_S)
                if (now := _data_version(connection)) != version:
                    version, before, last = now, last, _last_event(connection)
                    self._wake(_jobs_since(connection, before) if last >= before else None)
                if monotonic() >= self._woken_at + self._look_again_s:
                    self._look_at_all()

    def _look_at_all(self) -> None:
        if self._is_lost:
            logger.info("notified of events again")
        self._is_lost = False
        self._woken_at = monotonic()
        self._wake(None)

    def _wait(self, timeout_s: float, *files: int) -> None:
        readable, _, _ = select.select([self._interrupted, *files], [], [], max(0.0, timeout_s))
        if self._interrupted in readable:
            os.eventfd_read(self._interrupted)


def _data_version(connection: sa.Connection) -> int:
    """A number that changes when another connection commits."""
    return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())


def _last_event(connection: sa.Connection) -> int:
    """SQLite's number of the newest event: rows are numbered in the order in which they are written."""
    return int(connection.exec_driver_sql("SELECT coalesce(max(rowid), 0) FROM job_events").scalar_one())


def _jobs_since(connection: sa.Connection, row: int) -> Collection[str]:
    query = "SELECT DISTINCT job_id FROM job_events WHERE rowid > ?"
    return connection.exec_driver_sql(query, (row,)).scalars().all()
