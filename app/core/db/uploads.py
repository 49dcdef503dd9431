"""Files that clients send in parts, until something is made of them or they expire."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Index, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime, database_time
from app.core.db.ownership import ProjectRow
from app.core.db.session import ProjectReadSession, ProjectWriteSession, ReadSession, WriteSession
from app.core.ids import is_id, new_id
from app.domain.errors import NotFound


class Upload(ProjectRow, Base):
    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_project_id", "project_id", "id"),)

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
    purpose: Mapped[str | None] = mapped_column(String(32))
    """Of a file, as clients of OpenAI's API send it, whole; None: it is none."""

    @property
    def is_whole(self) -> bool:
        return self.size_bytes == self.total_bytes


def get_upload(session: ReadSession, upload_id: str) -> Upload:
    """Raises NotFound where there is none, or it has expired."""
    return _found(session, session.get(Upload, upload_id), upload_id)


def lock_upload(session: ProjectWriteSession, upload_id: str) -> Upload:
    """The same, for changing it."""
    return _found(session, session.get(Upload, upload_id, with_for_update=True), upload_id)


def get_file(session: ProjectReadSession, file_id: str) -> Upload:
    """An upload that is a file. Raises NotFound where there is none, or it has expired."""
    upload = session.get(Upload, file_id) if is_id("upl", file_id) else None
    if upload is None or upload.purpose is None or upload.expires_at < database_time(session):
        raise NotFound("file", file_id)
    return upload


def list_files(
    session: ProjectReadSession, *, limit: int, after: str | None = None, oldest_first: bool = False
) -> Sequence[Upload]:
    """Uploads that are files; ``after`` is the last id of the page before."""
    query = select(Upload).where(Upload.purpose.is_not(None), Upload.expires_at >= database_time(session))
    if after is not None:
        query = query.where(Upload.id > after if oldest_first else Upload.id < after)
    return session.scalars(query.order_by(Upload.id if oldest_first else Upload.id.desc()).limit(limit)).all()


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
