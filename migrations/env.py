"""Runs the migrations, on SQLite and on Postgres alike."""

from typing import Literal

from alembic import context
from sqlalchemy import Connection

from app.core.db import Base, Database
from app.core.db.base import UtcDateTime
from app.core.settings import get_settings

# Any number; equal in every process, so that replicas that start together migrate one after another.
_ADVISORY_LOCK = 7_235_533


def _url() -> str:
    """``-x url=…``, else what the caller set, else the settings'."""
    given = context.get_x_argument(as_dictionary=True).get("url") or context.config.attributes.get("url")
    return str(given or get_settings().resolved_database_url)


def _render(kind: str, item: object, _: object) -> str | Literal[False]:
    """A migration names SQLAlchemy's types alone: it must still run when ours have changed."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def _migrate(connection: Connection) -> None:
    is_postgres = connection.dialect.name == "postgresql"
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=not is_postgres,
        transactional_ddl=True,
        compare_server_default=True,
        render_item=_render,
    )
    with context.begin_transaction():
        if is_postgres:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            # A migration that waits for a table holds up every query behind it: give up instead.
            connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        context.run_migrations()


def _run() -> None:
    if context.is_offline_mode():
        raise SystemExit("migrations run against a database; there is no offline mode")
    database = Database(_url(), limits=None)
    try:
        with database.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # A column is changed by copying its table; dropping the old one must not delete by cascade.
                # Inside a transaction the pragma would do nothing.
                connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
            _migrate(connection)
    finally:
        database.dispose()


_run()
