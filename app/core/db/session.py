"""Where a transaction begins and ends. Nothing else calls ``commit()``.

Reading and writing are two kinds of session, also in the type: a function that takes a ``ReadSession``
changes nothing and may be given either. Sessions of one project and of all projects are two kinds as well:
what serves a client takes the former and cannot be given the latter.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.db.ownership import Actor, bound_to, narrow_to_project, project_of, require_owner
from app.core.db.postgres import DEFAULT_LIMITS, Limits, postgres_engine

logger = logging.getLogger(__name__)

DATABASE_UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout)
"""It is away, or did not answer in time."""
_SQLITE_READS = "squeeze_reads"
_SQLITE_BUSY_S = 30
"""SQLite has one writer at a time: who waits for his turn waits for all before him."""
_AFTER_COMMIT = "after_commit"
_AFTER_ROLLBACK = "after_rollback"


class ReadSession(Session):
    """A session for queries: it takes no lock, each query sees what was committed before it."""


class WriteSession(ReadSession):
    """A session in a transaction."""


class ProjectReadSession(ReadSession):
    """A session for queries in which the rows of one project are all there is."""

    @property
    def project_id(self) -> str:
        return project_of(self)


class ProjectWriteSession(ProjectReadSession, WriteSession):
    """Such a session in a transaction; new rows become the project's."""


event.listen(ProjectReadSession, "do_orm_execute", narrow_to_project)
event.listen(WriteSession, "before_flush", require_owner)

S = TypeVar("S", bound=WriteSession)


class Database:
    """An engine and the two ways to a session on it.

    Args:
        url: SQLAlchemy's.
        connections: how many may be open at once. Give as many as there are threads that ask for one: a
            thread that waits for a connection may keep others from giving theirs back.
        wait_s: how long one waits for a free connection, before SQLAlchemy's ``TimeoutError``.
        limits: None for migrations, which take as long as they take.
    """

    def __init__(
        self, url: str, *, connections: int = 5, wait_s: float = 5, limits: Limits | None = DEFAULT_LIMITS
    ) -> None:
        is_sqlite = url.startswith("sqlite")
        pool = {"pool_size": connections, "max_overflow": 0, "pool_timeout": wait_s}
        self.engine = _sqlite_engine(url, pool) if is_sqlite else postgres_engine(url, pool, limits)
        self._is_disposed = False
        event.listen(self.engine, "checkin", self._close_after_disposal)
        reading_options = {_SQLITE_READS: True} if is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._on_commit: tuple[Callable[[], object], ...] = ()
        self._reading_engine = self.engine.execution_options(**reading_options)
        self._transactions = sessionmaker(self.engine, class_=WriteSession, expire_on_commit=False)
        self.project_transactions = sessionmaker(
            self.engine, class_=ProjectWriteSession, expire_on_commit=False
        )
        reads: dict[str, Any] = {"expire_on_commit": False, "autoflush": False}
        self._reads = sessionmaker(self._reading_engine, class_=ReadSession, **reads)
        self.project_reads = sessionmaker(self._reading_engine, class_=ProjectReadSession, **reads)
        for sessions in (self._reads, self.project_reads):
            event.listen(sessions, "before_flush", _refuse_to_flush)
            event.listen(sessions, "do_orm_execute", _refuse_to_change)

    def of(self, project_id: str, actor: Actor | None = None) -> "ProjectDatabase":
        """What a project sees of the database; an actor's changes are recorded (``app.core.db.audit``)."""
        return ProjectDatabase(self, project_id, actor)

    @contextmanager
    def reading(self) -> Iterator[ReadSession]:
        """A session for the queries of the block. There is no transaction: fewer round trips, and no lock."""
        with self._reads() as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[WriteSession]:
        """A session that commits at the end of the block, then runs the callbacks for that case.

        An exception rolls back and runs the callbacks for a rollback. The transaction begins in the
        database with its first query: code before it holds no lock.
        """
        with self.committed(self._transactions()) as session:
            yield session

    @contextmanager
    def committed(self, session: S) -> Iterator[S]:
        """A transaction in a new session, which is closed after it."""
        with session:
            try:
                with session.begin():
                    yield session
            except BaseException:
                _run_callbacks(session, _AFTER_ROLLBACK)
                raise
            _run_callbacks(session, _AFTER_COMMIT)
        for callback in self._on_commit:
            callback()

    @contextmanager
    def on_commit(self, callback: Callable[[], object]) -> Iterator[None]:
        """For the length of the block, run a callback after each commit of this process."""
        self._on_commit += (callback,)
        try:
            yield
        finally:
            self._on_commit = tuple(other for other in self._on_commit if other is not callback)

    @contextmanager
    def own_connection(self) -> Iterator[Connection]:
        """A connection beside the pool and without transactions, for a thread that keeps it."""
        connection = self._reading_engine.connect()
        driver = connection.connection.dbapi_connection
        assert driver is not None
        connection.detach()
        with closing(driver), connection:  # SQLAlchemy lets go of one that is lost without closing it
            yield connection

    def dispose(self) -> None:
        """Close all connections: those in use when they are given back."""
        self._is_disposed = True
        self.engine.dispose()

    def _close_after_disposal(self, _connection: object, record: ConnectionPoolEntry) -> None:
        # It belongs to a pool that the engine has forgotten: nobody would take it out again, or close it.
        if self._is_disposed:
            record.invalidate()


class ProjectDatabase:
    """The two ways to a session in which the rows of one project are all there is."""

    def __init__(self, database: Database, project_id: str, actor: Actor | None) -> None:
        self._database = database
        self._info = bound_to(project_id, actor)
        self.project_id = project_id

    @contextmanager
    def reading(self) -> Iterator[ProjectReadSession]:
        """As ``Database.reading``."""
        with self._database.project_reads(info=self._info) as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[ProjectWriteSession]:
        """As ``Database.transaction``."""
        session = self._database.project_transactions(info=self._info)
        with self._database.committed(session):
            yield session


def after_commit(session: WriteSession, callback: Callable[[], object]) -> None:
    """Run a callback once the session's transaction is committed."""
    session.info.setdefault(_AFTER_COMMIT, []).append(callback)


def after_rollback(session: WriteSession, callback: Callable[[], object]) -> None:
    """Run a callback, which undoes something outside the database, if the transaction fails."""
    session.info.setdefault(_AFTER_ROLLBACK, []).append(callback)


def _run_callbacks(session: WriteSession, case: str) -> None:
    """What follows a transaction cannot change how it ended: a failure is logged."""
    for callback in session.info.pop(case, ()):
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - a store that is away, most likely
            logger.warning("%s failed: %s", case.replace("_", " "), str(error).partition("\n")[0])


def _refuse_to_flush(session: Session, *_: object) -> None:
    if session.new or session.dirty or session.deleted:
        raise TypeError("a ReadSession is read-only: use Database.transaction()")


def _refuse_to_change(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        raise TypeError("a ReadSession is read-only: use Database.transaction()")


def _json_or_text(text: str) -> Any:
    """SQLite takes any text for JSON; one that is none must not fail the rows that are read beside it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _sqlite_engine(url: str, pool: dict[str, Any]) -> Engine:
    if path := make_url(url).database:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": _SQLITE_BUSY_S, "check_same_thread": False},
        json_deserializer=_json_or_text,
        **pool,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own implicit BEGIN would come too late
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        if not connection.get_execution_options().get(_SQLITE_READS):
            # A deferred transaction that reads and then writes fails with SQLITE_BUSY instead of waiting.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
