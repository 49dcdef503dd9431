"""Checkpoints of jobs in the store: the table, and every query on it.

A row stays until its file is deleted, so that a deletion that failed is tried again.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, delete, func, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime
from app.core.db.jobs import Job, JobPart
from app.core.db.session import ReadSession, WriteSession
from app.domain.documents.manifest import FileEntry
from app.domain.job_states import JobStatus

KEPT = 2
"""Of each job: the latest may be damaged."""


class JobCheckpoint(JobPart, Base):
    __tablename__ = "job_checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    """Of the training."""
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    key: Mapped[str] = mapped_column(String(255))
    """Of the file in the store."""
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)


def add_checkpoint(session: WriteSession, job: Job, *, step: int, key: str, file: FileEntry) -> None:
    """Note a stored checkpoint of the current attempt at a locked job; saying it twice does no harm."""
    session.merge(
        JobCheckpoint(
            job_id=job.id,
            attempt=job.attempt,
            step=step,
            key=key,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
        )
    )


def list_checkpoints(session: ReadSession, job_id: str) -> Sequence[JobCheckpoint]:
    """Those of a job, latest step first."""
    query = select(JobCheckpoint).where(JobCheckpoint.job_id == job_id)
    return session.scalars(query.order_by(JobCheckpoint.step.desc())).all()


def unneeded_checkpoints(session: ReadSession, *, limit: int = 100) -> Sequence[JobCheckpoint]:
    """Those of jobs that have ended, and of the others all but the last that were stored."""
    age = func.row_number().over(
        partition_by=JobCheckpoint.job_id,
        order_by=(JobCheckpoint.attempt.desc(), JobCheckpoint.step.desc()),
    )
    aged = select(
        JobCheckpoint.job_id, JobCheckpoint.attempt, JobCheckpoint.step, age.label("age")
    ).subquery()
    has_ended = Job.status.in_([status for status in JobStatus if status.is_terminal])
    query = (
        select(JobCheckpoint)
        .join(Job)
        .join(
            aged,
            (aged.c.job_id == JobCheckpoint.job_id)
            & (aged.c.attempt == JobCheckpoint.attempt)
            & (aged.c.step == JobCheckpoint.step),
        )
        .where(has_ended | (aged.c.age > KEPT))
        .limit(limit)
    )
    return session.scalars(query).all()


def forget_checkpoint(session: WriteSession, checkpoint: JobCheckpoint) -> None:
    """Remove the row of a deleted file; another sweep may have been first."""
    session.execute(
        delete(JobCheckpoint).where(
            JobCheckpoint.job_id == checkpoint.job_id,
            JobCheckpoint.attempt == checkpoint.attempt,
            JobCheckpoint.step == checkpoint.step,
        )
    )
