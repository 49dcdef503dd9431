"""What every test may ask for: real servers, a migrated database on each, an empty broker."""

import gc
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.orm import Session

from app.core.db import DEFAULT_PROJECT, Base, Database, WriteSession
from app.core.db.migrate import upgrade
from app.core.db.ownership import ProjectRow
from app.core.db.projects import Project
from app.core.telemetry import close_telemetry, configure_telemetry
from benchmarks.servers import postgres_server, redis_server
from tests.collector import Collector, collecting

# Tests run side by side, one process a core: more threads would only keep each other waiting.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# As a user of this machine, who needs no key; tests of keys say otherwise.
os.environ.setdefault("SQUEEZE_LOOPBACK_WITHOUT_KEY", "1")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a test that waits for a process leaves its core to another."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What modules and tests consist of stays to the end: the garbage collector need not look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        # Collections fourteen times as rare take a third less time in all.
        gc.set_threshold(10_000)
        gc.enable()


def own_by_default(session: Session, *_: object) -> None:
    """Rows that a test adds to all projects' database without naming one belong to the default project."""
    for row in session.new:
        if isinstance(row, ProjectRow) and not row.project_id and "project" not in session.info:
            row.project_id = DEFAULT_PROJECT


event.listen(WriteSession, "before_flush", own_by_default, insert=True)


@pytest.fixture(scope="session")
def postgres_maintenance_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_maintenance_url: str) -> Iterator[str]:
    """The name of a migrated database that the others are cloned from."""
    with new_postgres_database(postgres_maintenance_url) as url:
        upgrade(url)
        yield str(make_url(url).database)


@pytest.fixture(scope="module")
def postgres_url(postgres_maintenance_url: str, postgres_template: str) -> Iterator[str]:
    """A migrated PostgreSQL database of this module's own."""
    with new_postgres_database(postgres_maintenance_url, template=postgres_template) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def sqlite_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated SQLite database of this module's own."""
    path = tmp_path_factory.mktemp("sqlite") / "squeeze.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """For what differs between the two: the test runs on both."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="module")
def open_databases() -> Iterator[dict[str, Database]]:
    """Those that a module's tests have used, by URL: to connect takes longer than most tests do."""
    databases: dict[str, Database] = {}
    yield databases
    for database in databases.values():
        database.dispose()


@pytest.fixture
def database(database_url: str, open_databases: dict[str, Database]) -> Database:
    """Both databases in turn, empty at the start of each test."""
    if database_url not in open_databases:
        open_databases[database_url] = Database(database_url)
    database = open_databases[database_url]
    empty_tables(database)
    return database


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """A broker, empty at the start of each test."""
    with redis.Redis.from_url(redis_server_url) as client:
        client.flushdb()
    return redis_server_url


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Gets the traces of this process."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        configure_telemetry("tests")
        yield collector
        close_telemetry()


def empty_tables(database: Database) -> None:
    deletions = [f"delete from {table.name}" for table in reversed(Base.metadata.sorted_tables)]
    with database.transaction() as session:
        if session.get_bind().dialect.name == "postgresql":
            deletions = ["; ".join(deletions)]  # on one way there and back
        for deletion in deletions:
            session.execute(text(deletion))
        session.add(Project(id=DEFAULT_PROJECT, name="default"))


@contextmanager
def new_postgres_database(maintenance_url: str, *, template: str = "template0") -> Iterator[str]:
    """A database for the length of the block, as its URL."""
    engine = create_engine(maintenance_url, isolation_level="AUTOCOMMIT")
    name = f"squeeze_{uuid4().hex[:12]}"
    try:
        with engine.connect() as connection:
            connection.execute(text(f'create database "{name}" template "{template}" strategy file_copy'))
        yield engine.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f'drop database if exists "{name}" with (force)'))
        engine.dispose()
