"""Who changed what: a row for every change that a client made, written with the change itself."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Index, String, delete, event, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime, database_time
from app.core.db.ownership import Owned, ProjectRow, actor_of
from app.core.db.session import ProjectWriteSession, ReadSession, WriteSession
from app.core.ids import new_id

Change = Literal["created", "updated", "deleted"]

_RECORDED = "recorded"


class AuditEntry(ProjectRow, Base):
    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_project_id", "project_id", "id"),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("aud"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(30))
    """The id of what was changed."""
    change: Mapped[str] = mapped_column(String(16))
    request_id: Mapped[str | None] = mapped_column(String(128))


def _record_changes(session: ProjectWriteSession, *_: object) -> None:
    """Write an entry for each thing that a client changes; what workers do is in their jobs' history."""
    actor = actor_of(session)
    if actor is None:
        return
    recorded: set[object] = session.info.setdefault(_RECORDED, set())
    changes: dict[Change, list[object]] = {
        "created": list(session.new),
        "updated": [row for row in session.dirty if session.is_modified(row)],
        "deleted": list(session.deleted),
    }
    entries = [
        {
            "project_id": session.project_id,
            "actor": actor.name,
            "action": actor.action,
            "target": target,
            "change": change,
            "request_id": actor.request_id,
        }
        for change, rows in changes.items()
        for row in rows
        if isinstance(row, Owned) and (target := getattr(row, "id", None)) is not None
        if change != "updated" or target not in recorded  # one entry, however many flushes a change takes
    ]
    recorded.update(entry["target"] for entry in entries)
    if entries:
        session.connection().execute(insert(AuditEntry), entries)


event.listen(ProjectWriteSession, "after_flush", _record_changes)


def list_entries(session: ReadSession, *, limit: int, after: str | None = None) -> Sequence[AuditEntry]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if after is not None:
        query = query.where(AuditEntry.id < after)
    return session.scalars(query).all()


def forget_old_entries(session: WriteSession, *, older_than: timedelta) -> None:
    """Of all projects."""
    session.execute(delete(AuditEntry).where(AuditEntry.created_at < database_time(session) - older_than))
