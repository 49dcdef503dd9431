"""Projects: the table and its queries."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, String, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime
from app.core.db.ownership import Owned
from app.core.db.session import ProjectWriteSession, ReadSession
from app.core.ids import is_id, new_id
from app.domain.errors import NotFound


class Project(Owned, Base):
    """Whom models, data sets, jobs and keys belong to. There is always one, ``DEFAULT_PROJECT``."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("prj"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    name: Mapped[str] = mapped_column(String(200), unique=True)

    # None: no limit.
    max_stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_queued_jobs: Mapped[int | None]
    max_running_jobs: Mapped[int | None]
    max_predictions_per_day: Mapped[int | None] = mapped_column(BigInteger)
    max_requests_per_minute: Mapped[int | None]
    """Of each key."""

    @classmethod
    def is_of(cls, project_id: str) -> ColumnElement[bool]:
        return cls.id == project_id


def get_project(session: ReadSession, project_id: str) -> Project:
    """The project's row.

    Raises:
        NotFound: there is no such project.
    """
    row = session.get(Project, project_id) if is_id("prj", project_id) else None
    if row is None:
        raise NotFound("project", project_id)
    return row


def lock_project(session: ProjectWriteSession) -> Project:
    """The session's project, held until the transaction ends: what it has is counted under this lock."""
    query = select(Project).with_for_update(key_share=True).execution_options(populate_existing=True)
    return session.scalars(query).one()


def find_project_by_name(session: ReadSession, name: str) -> Project | None:
    return session.scalar(select(Project).where(Project.name == name))


def list_projects(session: ReadSession, *, limit: int, after: str | None = None) -> Sequence[Project]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(Project).order_by(Project.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Project.id < after)
    return session.scalars(query).all()
