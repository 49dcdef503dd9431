"""The declarative base and the column types that read the same on SQLite and Postgres."""

from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import JSON, DateTime, MetaData, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import ForUpdateParameter
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite, which keeps no zone, gets it back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Lock = Literal["share", "update"]


def row_lock(lock: Lock) -> ForUpdateParameter:
    """SQLAlchemy's words for a lock. Shared locks go together, and SQLite, with one writer, needs none."""
    return {"read": True, "key_share": True} if lock == "share" else True


JsonColumn = JSON().with_variant(JSONB(), "postgresql")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JsonColumn, list[str]: JsonColumn}  # noqa: RUF012


class DatabaseTime(FunctionElement[datetime]):
    """The time by the database's clock, the only one that all hosts share.

    Whatever is compared between hosts, leases above all, goes by it: their own clocks may be apart.
    """

    type = UtcDateTime()
    inherit_cache = True


@compiles(DatabaseTime, "postgresql")
def _postgres_time(*_: object, **__: object) -> str:
    return "clock_timestamp()"  # now() is when the transaction began, before any wait for a lock


@compiles(DatabaseTime, "sqlite")
def _sqlite_time(*_: object, **__: object) -> str:
    # Milliseconds, filled up to the digits in which times are stored: SQLite compares them as text.
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


def database_time(session: Session) -> datetime:
    """The present time by the database's clock; who holds a lock asks after it was granted."""
    return session.scalars(select(DatabaseTime())).one()
