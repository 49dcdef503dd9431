"""What projects have and use, and where that meets their limits."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, ForeignKey, String, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, database_time
from app.core.db.datasets import Dataset
from app.core.db.jobs import Job
from app.core.db.models import Model
from app.core.db.ownership import ProjectRow
from app.core.db.projects import get_project, lock_project
from app.core.db.session import ProjectReadSession, ProjectWriteSession, WriteSession
from app.core.db.uploads import Upload
from app.domain.documents.auto import AUTO
from app.domain.errors import Forbidden, RateLimited
from app.domain.job_states import JobStatus

_QUEUE_RETRY_S = 60
"""When to ask again whether a job of the queue has begun: they take minutes."""


class PredictionDay(ProjectRow, Base):
    """How many texts a project had predictions of in a day (UTC)."""

    __tablename__ = "prediction_days"

    project_id: Mapped[str] = mapped_column(String(30), ForeignKey("projects.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    predictions: Mapped[int] = mapped_column(BigInteger)


class PredictionsOf(NamedTuple):
    """Which predictions: those of a project in a day (UTC)."""

    project_id: str
    date: date


class Usage(NamedTuple):
    """What a project has now, and has used today."""

    stored_bytes: int
    queued_jobs: int
    running_jobs: int
    predictions_today: int


def usage_of(session: ProjectReadSession) -> Usage:
    """Of the session's project."""
    today = database_time(session).date()
    return Usage(
        stored_bytes=_stored_bytes(session),
        queued_jobs=_count_jobs(session, JobStatus.QUEUED, Job.parent_id.is_(None)),
        running_jobs=_count_jobs(session, JobStatus.RUNNING, Job.method != AUTO),
        predictions_today=predictions_of(session, today),
    )


def require_room(session: ProjectReadSession, size_bytes: int = 0) -> None:
    """Refuse more files than the project may store; in a transaction the answer holds until its end.

    Raises:
        Forbidden: with ``size_bytes`` more there would be too many.
    """
    limit = get_project(session, session.project_id).max_stored_bytes
    if limit is None:
        return
    if isinstance(session, ProjectWriteSession):
        lock_project(session)
    stored = _stored_bytes(session)
    if stored + size_bytes > limit or stored >= limit:
        adding = f" and this adds {size_bytes:,}" if size_bytes else ""
        raise Forbidden(
            "storage_quota_exceeded",
            f"The project stores {stored:,} of {limit:,} bytes{adding}. Delete models or data sets, or ask "
            "the operator for more.",
            stored_bytes=stored,
            added_bytes=size_bytes,
            max_stored_bytes=limit,
        )


def require_place_in_queue(session: ProjectWriteSession) -> None:
    """Refuse more queued jobs than the project may have; the answer holds until the transaction ends.

    A search counts as one, whatever number of its trials wait.

    Raises:
        RateLimited: there are as many.
    """
    limit = get_project(session, session.project_id).max_queued_jobs
    if limit is None:
        return
    lock_project(session)
    queued = _count_jobs(session, JobStatus.QUEUED, Job.parent_id.is_(None))
    if queued >= limit:
        raise RateLimited(
            "job_quota_exceeded",
            f"The project has {queued:,} queued jobs and may have {limit:,}. Wait until one begins, cancel "
            "one, or ask the operator for more.",
            retry_after_s=_QUEUE_RETRY_S,
            policy="queued-jobs",
            queued_jobs=queued,
            max_queued_jobs=limit,
        )


def predictions_of(session: ProjectReadSession, day: date) -> int:
    """How many the session's project had in a day."""
    query = select(PredictionDay.predictions).where(PredictionDay.day == day)
    return session.scalar(query) or 0


def add_predictions(session: WriteSession, counts: Mapping[PredictionsOf, int]) -> None:
    """Add to what projects, by id, have used in days."""
    values = [
        {"project_id": project_id, "day": day, "predictions": count}
        for (project_id, day), count in sorted(counts.items())
    ]
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    added = insert(PredictionDay).values(values)
    session.execute(
        added.on_conflict_do_update(
            index_elements=["project_id", "day"],
            set_={"predictions": PredictionDay.predictions + added.excluded.predictions},
        )
    )


def _stored_bytes(session: ProjectReadSession) -> int:
    sums = [
        session.scalar(select(func.sum(table.size_bytes)).select_from(table))
        for table in (Model, Dataset, Upload)
    ]
    return sum(int(size) for size in sums if size is not None)


def _count_jobs(session: ProjectReadSession, status: JobStatus, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(Job).where(Job.status == status, *conditions)
    return session.scalar(query) or 0
