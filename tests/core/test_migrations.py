"""The migrations lead to the tables that the code declares, on both databases."""

import json

import pytest
from alembic import command
from sqlalchemy import inspect, text

from app.core.db import Database
from app.core.db.migrate import alembic_config, upgrade
from migrations.check import main as check


def test_the_command_finds_no_drift():
    assert check() == 0


def test_migrated_tables_are_the_declared_ones(database):
    command.check(alembic_config(database.engine.url.render_as_string(hide_password=False)))


def test_upgrading_twice_changes_nothing(database):
    upgrade(database.engine.url.render_as_string(hide_password=False))


def test_the_way_down_leaves_nothing_behind(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'new' / 'squeeze.db'}")
    url = str(database.engine.url)
    upgrade(url)
    command.downgrade(alembic_config(url), "base")
    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    database.dispose()


def test_a_job_s_history_outlives_the_table_s_new_form(tmp_path):
    """SQLite changes a column by copying its table, and deleting the old one must not reach the events."""
    database = Database(f"sqlite:///{tmp_path / 'squeeze.db'}")
    config = alembic_config(str(database.engine.url))
    command.upgrade(config, "0001")
    job = "'j', '2026-11-21 00:00:00', 'queued', '{}', 't', 'd', 'scratch', 0, '{}', '{}'"
    job_columns = "id, created_at, status, spec, teacher_id, dataset_id, method, attempt, progress, report"
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO jobs ({job_columns}) VALUES ({job})")
        connection.exec_driver_sql(
            "INSERT INTO job_events (job_id, seq, created_at, kind, data) "
            "VALUES ('j', 1, '2026-11-21 00:00:00', 'status', '{}')"
        )
    for migrate, revision in ((command.upgrade, "head"), (command.downgrade, "0001")):
        migrate(config, revision)
        with database.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM job_events").scalar() == 1
    database.dispose()


@pytest.fixture
def before_inputs(database):
    """The database as it was before jobs had rows for their inputs, and the settings of migrations."""
    config = alembic_config(database.engine.url.render_as_string(hide_password=False))
    command.downgrade(config, "0002")
    yield config
    command.upgrade(config, "head")


def test_inputs_of_jobs_become_rows_and_teachers_come_back(database, before_inputs):
    methods = {"a": {"gate": {"small_model": "small"}}, "b": {"gate": None}, "c": {}}
    columns = "id, created_at, status, spec, teacher_id, dataset_id, method, attempt, progress, report"
    insert = text(
        f"INSERT INTO jobs ({columns}) "
        "VALUES (:id, '2026-11-21 00:00:00', 'queued', :spec, :teacher, 'd', 'scratch', 0, '{}', '{}')"
    )
    with database.engine.begin() as connection:
        for job, method in methods.items():
            spec = json.dumps({"method": method})
            connection.execute(insert, {"id": job, "spec": spec, "teacher": "t" if job < "c" else None})
    command.upgrade(before_inputs, "0003")
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT job_id, role, model_id FROM job_inputs").all()
    expected = {("a", "teacher", "t"), ("a", "small_model", "small"), ("b", "teacher", "t")}
    assert {tuple(row) for row in rows} == expected
    command.downgrade(before_inputs, "0002")
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id, teacher_id FROM jobs").all()
    assert {tuple(row) for row in rows} == {("a", "t"), ("b", "t"), ("c", None)}
