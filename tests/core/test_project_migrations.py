"""What was there before there were projects belongs to the default one and stays where it is."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import postgresql

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.jobs import list_events, list_jobs
from app.core.db.migrate import alembic_config
from app.core.db.models import Model, list_models
from app.core.db.projects import Project, get_project

OTHER = f"prj_{'1' * 26}"
_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _table(name: str, *columns: str, json: tuple[str, ...]) -> sa.TableClause:
    time = sa.column("created_at", sa.DateTime(timezone=True))
    return sa.table(name, time, *map(sa.column, columns), *(sa.column(column, _json) for column in json))


_models = _table("models", "id", "name", "origin", json=("manifest_json", "metrics"))
_datasets = _table("datasets", "id", "name", json=("manifest_json",))
_jobs = _table(
    "jobs",
    *("id", "status", "dataset_id", "method", "attempt", "idempotency_key"),
    json=("spec", "progress", "report"),
)
_events = _table("job_events", "job_id", "seq", "kind", json=("data",))


@pytest.fixture
def config(database: Database) -> Iterator[Config]:
    """Of migrations, on a database from before there were projects."""
    config = alembic_config(database.engine.url.render_as_string(hide_password=False))
    command.downgrade(config, "0009")
    yield config
    command.upgrade(config, "head")


def test_rows_from_before(database: Database, config: Config):
    entry = {"sha256": "0" * 64, "size_bytes": 7}
    manifest = {"files": {"prefix": "models/mdl_a", "entries": {"a": entry, "b": entry}}}
    row = {"id": "mdl_a", "created_at": datetime(2026, 11, 21, tzinfo=UTC), "name": "a"}
    with database.engine.begin() as connection:
        connection.execute(
            _models.insert(), row | {"origin": "upload", "manifest_json": manifest, "metrics": {}}
        )
        connection.execute(_datasets.insert(), row | {"id": "dst_a", "manifest_json": {}})
        job = {"id": "job_a", "status": "queued", "dataset_id": "dst_a", "method": "scratch", "attempt": 0}
        job |= {
            "created_at": row["created_at"],
            "idempotency_key": "again",
            "spec": {},
            "progress": {},
            "report": {},
        }
        connection.execute(_jobs.insert(), job)
        event = {"job_id": "job_a", "seq": 1, "created_at": row["created_at"], "kind": "status", "data": {}}
        connection.execute(_events.insert(), event)
    command.upgrade(config, "head")
    with database.of(DEFAULT_PROJECT).reading() as session:
        assert get_project(session, DEFAULT_PROJECT).name == "default"
        [model] = list_models(session, limit=9)
        assert model.manifest_json["files"]["prefix"] == "models/mdl_a"
        assert model.size_bytes == 14
        [job] = list_jobs(session, limit=9)
        assert job.idempotency_key == "again"
        assert len(list_events(session, job.id, after=0, limit=9)) == 1
    with database.of(OTHER).reading() as session:
        assert (list_models(session, limit=9), list_jobs(session, limit=9)) == ([], [])
        assert list_events(session, "job_a", after=0, limit=9) == []


def test_an_earlier_version_goes_on_writing(database: Database):
    """It names no project: during an upgrade both versions run on one database."""
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO datasets (id, created_at, name, manifest_json) "
            "VALUES ('dst_a', '2026-11-21 00:00:00', 'a', '{}')"
        )
        assert connection.exec_driver_sql("SELECT project_id FROM datasets").scalar() == DEFAULT_PROJECT


def test_the_way_back_is_refused_while_others_have_something(database: Database):
    config = alembic_config(database.engine.url.render_as_string(hide_password=False))
    with database.transaction() as session:
        session.add(Project(id=OTHER, name="other"))
        session.flush()
        session.add(Model(name="m", origin="upload", manifest_json={}, project_id=OTHER))
    with pytest.raises(RuntimeError, match="models has rows of other projects"):
        command.downgrade(config, "0009")
    with database.of(OTHER).reading() as session:
        assert len(list_models(session, limit=9)) == 1
