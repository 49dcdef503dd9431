"""The migrations lead to the tables that the code declares, on both databases."""

from alembic import command
from sqlalchemy import inspect

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
