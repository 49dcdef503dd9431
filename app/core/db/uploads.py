"""Files that clients send in parts, until something is made of them or they expire."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime, database_time
from app.core.db.ownership import ProjectRow
from app.core.db.session import ProjectWriteSession, ReadSession, WriteSession
from app.core.ids import new_id
from app.domain.errors import NotFound


class Upload(ProjectRow, Base):
    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("upl"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    filename: Mapped[str] = mapped_column(String(255))
    total_bytes: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    """Received so far."""
    parts: Mapped[list[str]] = mapped_column(default=list)
    """Keys in the store, in the order of their content."""
    prefix: Mapped[str] = mapped_column(String(255))
    """Of those keys."""

    @property
    def is_whole(self) -> bool:
        return self.size_bytes == self.total_bytes


def get_upload(session: ReadSession, upload_id: str) -> Upload:
    """Raises NotFound where there is none, or it has expired."""
    return _found(session, session.get(Upload, upload_id), upload_id)


def lock_upload(session: ProjectWriteSession, upload_id: str) -> Upload:
    """The same, for changing it."""
    return _found(session, session.get(Upload, upload_id, with_for_update=True), upload_id)


def expired_uploads(session: ReadSession, *, limit: int = 100) -> Sequence[Upload]:
    """Longest expired first."""
    query = select(Upload).where(Upload.expires_at < database_time(session))
    return session.scalars(query.order_by(Upload.expires_at).limit(limit)).all()


def forget_upload(session: WriteSession, upload_id: str) -> None:
    session.execute(delete(Upload).where(Upload.id == upload_id))


def keep_for(session: WriteSession, upload: Upload, time: timedelta) -> None:
    """From now on."""
    upload.expires_at = database_time(session) + time


def _found(session: ReadSession, upload: Upload | None, upload_id: str) -> Upload:
    if upload is None or upload.expires_at < database_time(session):
        raise NotFound("upload", upload_id)
    return upload
