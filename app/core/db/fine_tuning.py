"""What clients of OpenAI's API said of their jobs beyond what a job is: the table and its queries."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base
from app.core.db.jobs import Job, JobEvent, JobPart
from app.core.db.session import ProjectReadSession


class FineTuningRequest(JobPart, Base):
    __tablename__ = "fine_tuning_requests"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    training_file: Mapped[str] = mapped_column(String(30))
    """As it was named; the data set that was made of it is the job's."""
    validation_file: Mapped[str | None] = mapped_column(String(30))
    metadata_json: Mapped[dict[str, Any]]


def requests_of(session: ProjectReadSession, job_ids: Collection[str]) -> Mapping[str, FineTuningRequest]:
    """By job, those of jobs that were asked for in this form."""
    query = select(FineTuningRequest).where(FineTuningRequest.job_id.in_(job_ids))
    return {request.job_id: request for request in session.scalars(query)}


def list_jobs_with(
    session: ProjectReadSession, metadata: Mapping[str, str], *, limit: int, after: str | None = None
) -> Sequence[Job]:
    """Jobs whose metadata has all of these, newest first; ``after`` is the last id of the page before."""
    query = select(Job).join(FineTuningRequest, FineTuningRequest.job_id == Job.id)
    for key, value in metadata.items():
        query = query.where(FineTuningRequest.metadata_json[key].as_string() == value)
    if after is not None:
        query = query.where(Job.id < after)
    return session.scalars(query.order_by(Job.id.desc()).limit(limit)).all()


def newest_events(
    session: ProjectReadSession, job_id: str, *, before: int | None, limit: int
) -> Sequence[JobEvent]:
    """Newest first; ``before`` is the number of the last one of the page before."""
    query = select(JobEvent).where(JobEvent.job_id == job_id)
    if before is not None:
        query = query.where(JobEvent.seq < before)
    return session.scalars(query.order_by(JobEvent.seq.desc()).limit(limit)).all()
