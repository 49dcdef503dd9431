"""Keys of requests that create something, with the answer that each was given."""

from datetime import datetime, timedelta

from sqlalchemy import Index, String, Text, UniqueConstraint, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime, database_time
from app.core.db.ownership import ProjectRow
from app.core.db.session import ProjectWriteSession, WriteSession
from app.core.ids import new_id


class IdempotencyKey(ProjectRow, Base):
    """A request under its key: being handled, or answered.

    Its id is that of one handling: whoever takes the key over, because the handling seems to be lost, writes
    a row of his own, and the lost one can store no answer any more.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        UniqueConstraint("project_id", "operation", "key"),
        Index("ix_idempotency_keys_expires_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("req"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    operation: Mapped[str] = mapped_column(String(100))
    """Method and path."""
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    leased_until: Mapped[datetime]
    """Of a request that is being handled: renewed while its process lives."""
    expires_at: Mapped[datetime]
    status: Mapped[int | None]
    """Of the answer; None while there is none."""
    body: Mapped[str | None] = mapped_column(Text)
    location: Mapped[str | None] = mapped_column(String(255))

    def is_free(self, now: datetime) -> bool:
        """Whether the key may be used as if it were new."""
        is_lost = self.status is None and self.leased_until <= now
        return is_lost or self.expires_at <= now


def lock_idempotency_key(session: ProjectWriteSession, *, operation: str, key: str) -> IdempotencyKey | None:
    """The row of a key, held until the transaction ends."""
    return session.scalar(
        select(IdempotencyKey)
        .where(IdempotencyKey.operation == operation, IdempotencyKey.key == key)
        .with_for_update()
    )


def renew_lease(session: ProjectWriteSession, id_: str, lease: timedelta) -> None:
    """Say that a request is still being handled."""
    _change(session, id_, leased_until=database_time(session) + lease)


def store_answer(session: WriteSession, id_: str, *, status: int, body: str, location: str) -> bool:
    """Store the answer to a request; False where another has taken its key over."""
    return _change(session, id_, status=status, body=body, location=location)


def release_key(session: ProjectWriteSession, id_: str) -> None:
    """Forget a request that was not answered."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.id == id_, IdempotencyKey.status.is_(None)))


def forget_expired_keys(session: WriteSession) -> None:
    """Remove keys, with their answers, whose time is over."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at <= database_time(session)))


def _change(session: WriteSession, id_: str, **values: object) -> bool:
    """Change the row of a request that is being handled, also in a session of another project than its own.

    Creating a project is such a session; the id is known to the one who handles the request alone.
    """
    changed = session.connection().execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.id == id_, IdempotencyKey.status.is_(None))
        .values(**values)
        .returning(IdempotencyKey.id)
    )
    return changed.first() is not None
