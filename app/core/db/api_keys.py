"""API keys: the table and its queries. A key's secret is stored nowhere, only its digest."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from hmac import compare_digest

from sqlalchemy import Index, String, or_, select, update
from sqlalchemy.orm import Mapped, joinedload, mapped_column, relationship

from app.core.db.base import Base, DatabaseTime, database_time
from app.core.db.ownership import ProjectRow
from app.core.db.projects import Project
from app.core.db.session import ProjectReadSession, ProjectWriteSession, ReadSession, WriteSession
from app.core.ids import is_id, new_id
from app.domain.errors import NotFound


class ApiKey(ProjectRow, Base):
    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_project_id", "project_id", "id"),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("key"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    name: Mapped[str] = mapped_column(String(200))
    scopes: Mapped[list[str]]
    digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the token, in hexadecimal. Of 256 random bits: no salt and no slow hash is needed."""
    previous_digest: Mapped[str | None] = mapped_column(String(64))
    """Of the token before the last rotation."""
    previous_expires_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    project: Mapped[Project] = relationship(lazy="raise")

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def accepts(self, digest: str, now: datetime) -> bool:
        """Whether a token of this digest is the key's; it may have expired or been revoked."""
        if compare_digest(self.digest, digest):
            return True
        if self.previous_digest is None or self.previous_expires_at is None:
            return False
        return now < self.previous_expires_at and compare_digest(self.previous_digest, digest)


def get_key(session: ProjectReadSession, key_id: str) -> ApiKey:
    """The key's row.

    Raises:
        NotFound: there is no such key.
    """
    return _found(session.get(ApiKey, key_id) if is_id("key", key_id) else None, key_id)


def lock_key(session: ProjectWriteSession, key_id: str) -> ApiKey:
    """The key's row, held until the transaction ends.

    Raises:
        NotFound: there is no such key.
    """
    return _found(session.get(ApiKey, key_id, with_for_update=True) if is_id("key", key_id) else None, key_id)


def list_keys(session: ProjectReadSession, *, limit: int, after: str | None = None) -> Sequence[ApiKey]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(ApiKey).order_by(ApiKey.id.desc()).limit(limit)
    if after is not None:
        query = query.where(ApiKey.id < after)
    return session.scalars(query).all()


def find_keys(session: ReadSession, key_ids: Collection[str]) -> tuple[Sequence[ApiKey], datetime]:
    """Those of the ids that are keys, with their projects, and the present time."""
    query = select(ApiKey).where(ApiKey.id.in_(key_ids)).options(joinedload(ApiKey.project))
    return session.scalars(query).all(), database_time(session)


def note_use(session: WriteSession, key_id: str, *, every: timedelta) -> None:
    """Write that a key is in use, unless that was written so short a time ago."""
    now = database_time(session)
    is_due = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now - every)
    session.execute(update(ApiKey).where(ApiKey.id == key_id, is_due).values(last_used_at=now))


def _found(row: ApiKey | None, key_id: str) -> ApiKey:
    if row is None:
        raise NotFound("key", key_id)
    return row
