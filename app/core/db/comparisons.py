"""How the models of a job compare: a row of its own, for jobs are listed and polled without it."""

from typing import Any

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base
from app.core.db.jobs import Job, JobPart
from app.core.db.session import ProjectReadSession, ProjectWriteSession
from app.domain.documents.comparison import Comparison, without_texts


class JobComparison(JobPart, Base):
    __tablename__ = "job_comparisons"

    job_id: Mapped[str] = mapped_column(
        String(30), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    comparison: Mapped[dict[str, Any]]


def add_comparison(session: ProjectWriteSession, job_id: str, comparison: Comparison) -> None:
    """Keep that of a job which succeeds."""
    session.add(JobComparison(job_id=job_id, comparison=comparison.to_stored()))


def get_comparison(session: ProjectReadSession, job_id: str) -> Comparison | None:
    """None of a job that has not succeeded, or did so in a version without comparisons.

    Raises:
        Unreadable: a later version of the service wrote it, or it is damaged.
    """
    row = session.get(JobComparison, job_id)
    return None if row is None else Comparison.from_stored(row.comparison, owner=job_id)


def forget_texts(session: ProjectWriteSession, dataset_id: str) -> None:
    """Leave no text of a data set in the comparisons of its jobs: it is deleted."""
    query = select(JobComparison).join(Job, Job.id == JobComparison.job_id)
    for row in session.scalars(query.where(Job.dataset_id == dataset_id)):
        row.comparison = without_texts(row.comparison)
