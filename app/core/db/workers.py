"""Worker processes: each keeps a row about itself for as long as it runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime, database_time
from app.core.db.session import ReadSession, WriteSession


class WorkerRow(Base):
    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    name: Mapped[str] = mapped_column(String(128))
    """By which it owns leases."""
    host: Mapped[str] = mapped_column(String(255))
    version: Mapped[str] = mapped_column(String(32))
    queues: Mapped[list[str]]
    methods: Mapped[list[str]]
    documents: Mapped[dict[str, Any]]
    """Newest versions that it reads, by the name of the document."""
    devices: Mapped[list[str]]
    heartbeat_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    """When it counts as lost, if nothing more is heard of it."""
    job_id: Mapped[str | None] = mapped_column(String(30))
    problem: Mapped[str | None]
    """Why it takes no jobs, as a sentence."""
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What it has counted since it started, by name."""


def record_heartbeat(
    session: WriteSession, worker_id: str, facts: Mapping[str, Any], *, lease: timedelta
) -> None:
    """Write what a worker says of itself; it counts as lost once it says nothing for a lease."""
    now = database_time(session)
    row = session.get(WorkerRow, worker_id) or WorkerRow(id=worker_id, created_at=now)
    for name, value in facts.items():
        setattr(row, name, value)
    row.heartbeat_at = now
    row.expires_at = now + lease
    session.add(row)


def forget_worker(session: WriteSession, worker_id: str) -> None:
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))


def forget_lost_workers(session: WriteSession, *, lost_for: timedelta) -> None:
    session.execute(delete(WorkerRow).where(WorkerRow.expires_at < database_time(session) - lost_for))


def list_workers(session: ReadSession, *, limit: int, after: str | None = None) -> Sequence[WorkerRow]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(WorkerRow).order_by(WorkerRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(WorkerRow.id < after)
    return session.scalars(query).all()


def live_workers(session: ReadSession) -> Sequence[WorkerRow]:
    """Those that were heard of within their lease."""
    return session.scalars(select(WorkerRow).where(WorkerRow.expires_at >= DatabaseTime())).all()
