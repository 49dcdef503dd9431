"""Jobs: the table, its history, and what clients ask of them. What workers ask is in ``job_queue``."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    String,
    TextClause,
    UniqueConstraint,
    func,
    select,
    text,
)
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, attribute_keyed_dict, mapped_column, relationship

from app.core.db.base import Base, DatabaseTime, JsonColumn, database_time
from app.core.db.notifications import notify_of_events
from app.core.db.ownership import Owned, ProjectRow
from app.core.db.session import ProjectReadSession, ProjectWriteSession, ReadSession, WriteSession
from app.core.db.webhooks import enqueue_event
from app.core.ids import is_id, new_id
from app.core.settings import DEFAULT_QUEUE
from app.domain.documents import JobSpec
from app.domain.documents.attempts import AttemptRecord
from app.domain.documents.auto import AUTO
from app.domain.documents.events import Event, StatusChange, read_event
from app.domain.documents.plan import Plan
from app.domain.documents.report import JobReport
from app.domain.documents.search import SearchState
from app.domain.errors import NotFound, Unreadable
from app.domain.job_states import JobStatus, transition
from app.domain.methods import TEACHER
from app.domain.webhook_events import WebhookEvent

WEBHOOK_EVENTS_OF_JOBS: dict[JobStatus, WebhookEvent] = {
    JobStatus.RUNNING: "job.running",
    JobStatus.SUCCEEDED: "job.succeeded",
    JobStatus.FAILED: "job.failed",
    JobStatus.CANCELLED: "job.cancelled",
}

# As text in indexes and queries alike: a planner that is given a parameter cannot tell that an index has it.
QUEUED = text("status = 'queued'")
_UNFINISHED = text("status IN ('queued', 'running')")
_UNFINISHED_SEARCH = text(f"method = '{AUTO}' AND status IN ('queued', 'running')")


def _partial_index(name: str, *columns: str, where: TextClause) -> Index:
    return Index(name, *columns, postgresql_where=where, sqlite_where=where)


class Job(ProjectRow, Base):
    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("project_id", "idempotency_key"),
        Index("ix_jobs_project_id", "project_id", "id"),
        Index("ix_jobs_project_id_status", "project_id", "status"),
        Index("ix_jobs_status_lease", "status", "lease_expires_at"),
        _partial_index("ix_jobs_queue_id", "queue", "id", where=QUEUED),
        _partial_index("ix_jobs_queue_announced_at", "queue", "announced_at", where=QUEUED),
        _partial_index("ix_jobs_unfinished", "id", where=_UNFINISHED),
        _partial_index("ix_jobs_unfinished_searches", "id", where=_UNFINISHED_SEARCH),
        Index("ix_jobs_parent_id", "parent_id", "id"),
        _partial_index("ix_jobs_unfinished_dataset_id", "dataset_id", where=_UNFINISHED),
    )

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("job"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    status_text: Mapped[str] = mapped_column("status", String(16), default=JobStatus.QUEUED.value)
    spec: Mapped[dict[str, Any]]
    plan: Mapped[dict[str, Any] | None] = mapped_column(JsonColumn)
    """As the client was shown it; None where the job is older than that."""
    dataset_id: Mapped[str] = mapped_column(String(30))
    method: Mapped[str] = mapped_column(String(64))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_fingerprint: Mapped[str | None] = mapped_column(String(64))
    """These two belong to earlier versions of the service, which may run on the same database meanwhile: keys
    now have a table of their own."""

    attempt: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_expires_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    queue: Mapped[str] = mapped_column(String(64), default=DEFAULT_QUEUE, server_default=DEFAULT_QUEUE)
    queued_at: Mapped[datetime | None] = mapped_column(default=DatabaseTime())
    """The last time; None where a version that did not note it queued the job."""
    announced_at: Mapped[datetime | None] = mapped_column(default=DatabaseTime())
    retry_at: Mapped[datetime | None]
    """Of a queued job whose last attempt failed: nobody may take it before then."""
    running_s: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    """Seconds that its attempts have run, by their leases."""
    attempt_record: Mapped[dict[str, Any] | None] = mapped_column(JsonColumn)
    """None before its first attempt."""

    parent_id: Mapped[str | None] = mapped_column(String(30))
    """The search that made it one of its trials."""
    search: Mapped[dict[str, Any] | None] = mapped_column(JsonColumn)
    """Of a search: what decides how it goes on. ``write_search`` changes it, and its version."""
    search_version: Mapped[int] = mapped_column(default=0, server_default=text("0"))

    trace_context: Mapped[str | None] = mapped_column(String(55))
    """``traceparent`` of the request that created it: its attempts belong to the same trace."""

    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    student_id: Mapped[str | None] = mapped_column(String(30))
    error_code: Mapped[str | None] = mapped_column(String(64))
    """Why it failed or, while it is queued, why its last attempt did."""
    error_message: Mapped[str | None]

    input_rows: Mapped[dict[str, "JobInput"]] = relationship(
        collection_class=attribute_keyed_dict("role"), cascade="all, delete-orphan", passive_deletes=True
    )
    inputs: AssociationProxy[dict[str, str]] = association_proxy(
        "input_rows", "model_id", creator=lambda role, model_id: JobInput(role=role, model_id=model_id)
    )
    """Ids of the models that it needs, by role: ``teacher`` and those that the method names."""

    @property
    def teacher_id(self) -> str | None:
        return self.inputs.get(TEACHER)

    def _read_status(self) -> JobStatus:
        try:
            return JobStatus(self.status_text)
        except ValueError:
            raise Unreadable(
                self.id, f"{self.id} has the status {self.status_text!r}, which this server does not know."
            ) from None

    def _write_status(self, status: JobStatus) -> None:
        self.status_text = status.value

    @classmethod
    def _status_column(cls) -> ColumnElement[JobStatus]:
        return cast("ColumnElement[JobStatus]", cls.status_text)

    status = hybrid_property(_read_status, _write_status, expr=_status_column)
    """Raises ``Unreadable``: when it is asked for, and not while the row is loaded among others."""

    def read_spec(self) -> JobSpec:
        """Raises ``Unreadable``."""
        return JobSpec.from_stored(self.spec, owner=self.id)

    def read_plan(self) -> Plan | None:
        """Raises ``Unreadable``."""
        return None if self.plan is None else Plan.from_stored(self.plan, owner=self.id)

    @property
    def is_search(self) -> bool:
        """Whether it trains nothing itself: no worker holds it."""
        return self.method == AUTO

    def read_search(self) -> SearchState | None:
        """Of a search. Raises ``Unreadable``."""
        return None if self.search is None else SearchState.from_stored(self.search, owner=self.id)

    def write_search(self, state: SearchState) -> None:
        """Of a locked row; whoever has read an earlier state finds that by the version."""
        self.search = state.to_stored()
        self.search_version += 1

    def read_attempt_record(self) -> AttemptRecord:
        """Raises ``Unreadable``."""
        return AttemptRecord.from_stored(self.attempt_record or {}, owner=self.id)

    def read_report(self) -> JobReport | None:
        """Of a job that has succeeded. Raises ``Unreadable``."""
        return JobReport.from_stored(self.report, owner=self.id) if self.report != {} else None


class JobPart(Owned):
    """A table whose rows belong to jobs."""

    job_id: Mapped[str]

    @classmethod
    def is_of(cls, project_id: str) -> ColumnElement[bool]:
        jobs = Job.__table__.c
        return cls.job_id.in_(select(jobs.id).where(jobs.project_id == project_id))


class JobInput(JobPart, Base):
    """A model that a job needs. The spec names it too; this is where jobs are found by their models."""

    __tablename__ = "job_inputs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(64), primary_key=True)
    model_id: Mapped[str] = mapped_column(String(30), index=True)


class JobEvent(JobPart, Base):
    """One thing that happened to a job: durable, so that a stream resumes where it broke off."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    kind: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]]

    def read(self) -> Event:
        """Raises ``Unreadable``."""
        return read_event(self.kind, self.data, owner=f"event {self.seq} of {self.job_id}")


def get_job(session: ProjectReadSession, job_id: str) -> Job:
    job = session.get(Job, job_id) if is_id("job", job_id) else None
    if job is None:
        raise NotFound("job", job_id)
    return job


def find_jobs(session: ReadSession, job_ids: Collection[str]) -> Sequence[Job]:
    """Those of the ids that are jobs, of whatever project, in any order."""
    known = [job_id for job_id in job_ids if is_id("job", job_id)]
    return session.scalars(select(Job).where(Job.id.in_(known))).all() if known else []


def lock_job(session: ProjectWriteSession, job_id: str) -> Job:
    """The row, fresh, held until the transaction ends: every change of status starts here."""
    return lock_job_of_any_project(session, job_id)


def lock_job_of_any_project(session: WriteSession, job_id: str) -> Job:
    query = select(Job).where(Job.id == job_id).with_for_update()
    job = session.scalar(query.execution_options(populate_existing=True))
    if job is None:
        raise NotFound("job", job_id)
    return job


def list_jobs(
    session: ProjectReadSession,
    *,
    limit: int,
    after: str | None = None,
    status: JobStatus | None = None,
    parent: str | None = None,
) -> Sequence[Job]:
    """Newest first; ``after`` is the last id of the page before.

    Trials of searches are listed under their ``parent`` alone.
    """
    is_listed = Job.parent_id.is_(None) if parent is None else Job.parent_id == parent
    query = select(Job).where(is_listed).order_by(Job.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Job.id < after)
    if status is not None:
        query = query.where(Job.status == status)
    return session.scalars(query).all()


def lock_children(session: WriteSession, job_id: str) -> Sequence[Job]:
    """The unfinished trials of a search, held until the transaction ends."""
    query = select(Job).where(Job.parent_id == job_id, _UNFINISHED).order_by(Job.id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).all()


def unfinished_searches(session: ReadSession) -> Sequence[str]:
    """Of all projects, the oldest first."""
    return session.scalars(select(Job.id).where(_UNFINISHED_SEARCH).order_by(Job.id)).all()


def count_by_status(session: ReadSession) -> dict[tuple[str, str], int]:
    """Jobs by project and status, also by a status that this version does not know."""
    of = (Job.project_id, Job.status_text)
    rows = session.execute(select(*of, func.count()).group_by(*of))
    return {(project_id, status): count for project_id, status, count in rows}


def uses_model(session: ProjectReadSession, model_id: str) -> Job | None:
    """An unfinished job that needs the model, if there is one."""
    return session.scalar(
        select(Job).join(JobInput).where(JobInput.model_id == model_id, _UNFINISHED).limit(1)
    )


def uses_dataset(session: ProjectReadSession, dataset_id: str) -> Job | None:
    """An unfinished job that needs the data set, if there is one."""
    return session.scalar(select(Job).where(_UNFINISHED, Job.dataset_id == dataset_id).limit(1))


def append_event(session: WriteSession, job_id: str, event: Event) -> JobEvent:
    """Add to the job's history; callers hold the job's row, so that numbers are never given twice."""
    last = session.scalar(select(func.max(JobEvent.seq)).where(JobEvent.job_id == job_id)) or 0
    row = JobEvent(job_id=job_id, seq=last + 1, kind=event.kind, data=event.to_stored())
    session.add(row)
    session.flush()  # the next number is read from the table
    notify_of_events(session, job_id)
    return row


class LastEvent(NamedTuple):
    """The number of a job's newest event, 0 where it has none, and the job's status then."""

    status: str
    seq: int


def last_events(session: ReadSession, job_ids: Collection[str]) -> Mapping[str, LastEvent]:
    """Of those of the ids that are jobs, of whatever project."""
    newest = select(func.max(JobEvent.seq)).where(JobEvent.job_id == Job.id).scalar_subquery()
    query = select(Job.id, Job.status_text, func.coalesce(newest, 0)).where(Job.id.in_(job_ids))
    return {job_id: LastEvent(status, seq) for job_id, status, seq in session.execute(query)}


def list_events(session: ReadSession, job_id: str, *, after: int, limit: int) -> Sequence[JobEvent]:
    return session.scalars(
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.seq > after)
        .order_by(JobEvent.seq)
        .limit(limit)
    ).all()


def list_events_of_kind(
    session: ProjectReadSession, job_id: str, kind: str, *, limit: int
) -> Sequence[JobEvent]:
    """Oldest first."""
    return session.scalars(
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.kind == kind)
        .order_by(JobEvent.seq)
        .limit(limit)
    ).all()


def move(session: WriteSession, job: Job, to: JobStatus, **data: Any) -> None:
    """Change a locked job's status and write it into its history."""
    transition(job, to)
    job.retry_at = None
    if to is JobStatus.RUNNING:
        job.started_at = job.started_at or database_time(session)
    else:
        job.lease_owner = job.lease_expires_at = None
    if to is JobStatus.QUEUED:
        job.queued_at = database_time(session)
    if to.is_terminal:
        job.finished_at = database_time(session)
    append_event(session, job.id, StatusChange(status=to, attempt=job.attempt, **data))
    is_trial = job.parent_id is not None  # which nobody asked for by itself
    if to in WEBHOOK_EVENTS_OF_JOBS and not is_trial:
        enqueue_event(session, job.project_id, WEBHOOK_EVENTS_OF_JOBS[to], _webhook_data(job))


def _webhook_data(job: Job) -> dict[str, Any]:
    """What webhooks are told: what is new of a job; all of it can be asked for by its id."""
    is_failed = job.status is JobStatus.FAILED
    return {
        "id": job.id,
        "object": "job",
        "status": job.status.value,
        "attempt": job.attempt,
        "student": job.student_id,
        "error": {"code": job.error_code, "message": job.error_message} if is_failed else None,
    }
