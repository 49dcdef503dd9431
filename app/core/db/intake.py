"""Rows of what clients send: ready at once, or read later by whichever process holds them.

The process that reads a row renews a lease, so that another one goes on where it is lost. Each attempt has a
number: only the last one writes how it ended.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import JsonColumn, database_time
from app.core.db.ownership import ProjectRow
from app.core.db.session import ReadSession, WriteSession

IntakeStatus = Literal["processing", "ready", "failed"]


class Intake(ProjectRow):
    """A table whose rows may be read in the background: until then they are no more than a name."""

    id: Mapped[str]
    name: Mapped[str]
    # The default is for an earlier version of the service, which may run on the same database meanwhile.
    status: Mapped[str] = mapped_column(String(16), default="ready", server_default="ready")
    source: Mapped[dict[str, Any] | None] = mapped_column(JsonColumn)
    """What is to be read; of rows that are processing."""
    progress: Mapped[dict[str, Any] | None] = mapped_column(JsonColumn)
    error: Mapped[dict[str, Any] | None] = mapped_column(JsonColumn)
    """Code and message: why it failed or, while it is processing, why the last attempt did."""
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    """When it is read, or read again if the process that reads it is lost; None when that is over."""
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")


R = TypeVar("R", bound=Intake)


def due_ids(session: ReadSession, table: type[Intake], *, limit: int) -> Sequence[str]:
    """Rows that are to be read now, the one that waits longest first."""
    query = select(table.id).where(table.due_at <= database_time(session))
    return session.scalars(query.order_by(table.due_at).limit(limit)).all()


def claim(session: WriteSession, table: type[R], id_: str, *, lease: timedelta) -> R | None:
    """Take a row that is due; nobody else does before the lease ends."""
    query = select(table).where(table.id == id_, table.due_at <= database_time(session))
    row = session.scalar(query.with_for_update(skip_locked=True))
    if row is not None:
        row.attempt += 1
        row.due_at = database_time(session) + lease
    return row


def lock_attempt(session: WriteSession, table: type[R], id_: str, attempt: int) -> R | None:
    """The row of an attempt, to write how far it is; None where it is deleted, or another's by now."""
    row = session.get(table, id_, with_for_update=True)
    return None if row is None or row.attempt != attempt or row.due_at is None else row
