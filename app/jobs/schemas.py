"""What the endpoints of jobs take and give. The body of a job is ``JobSpec``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.core.db.jobs import Job, JobEvent
from app.core.db.workers import WorkerRow
from app.domain.documents import Precision, Target, TrainingSpec
from app.domain.documents.auto import AUTO, AutoSpec
from app.domain.documents.gate import Gate
from app.domain.documents.job_spec import RequestedMethod
from app.domain.documents.plan import Plan
from app.domain.documents.report import JobReport, ModelReport, Ratios, ScoresReport
from app.domain.errors import Unreadable
from app.domain.job_states import JobStatus
from app.domain.methods import METHOD_SPECS, MethodCard, Spec
from app.jobs.planning import JobPlan
from app.jobs.searching import SearchRead
from app.jobs.waiting import why_it_waits
from app.rows import RowError


class MethodRead(MethodCard):
    """A method: what it does, when to use it, and its hyperparameters."""

    name: str
    object: Literal["method"] = "method"
    summary: str
    parameters: dict[str, Any] = Field(description="JSON Schema of the job's `method` object.")

    @classmethod
    def of(cls, name: str) -> "MethodRead":
        spec: type[Spec] = AutoSpec if name == AUTO else METHOD_SPECS[name]
        return cls(
            **spec.card.model_dump(),
            name=name,
            summary=(spec.__doc__ or "").strip(),
            parameters=spec.model_json_schema(),
        )


class PlanRead(Plan):
    """Plan of a job: the student, and the estimated cost."""

    object: Literal["plan"] = "plan"

    @classmethod
    def of(cls, planned: JobPlan) -> "PlanRead":
        return cls(**vars(planned.plan))


class JobProgress(BaseModel):
    """Progress of a job."""

    stage: str | None = None
    step: int = 0
    total_steps: int | None = None
    fraction: float = Field(default=0.0, description="Progress of the whole job, from 0 to 1.")
    eta_s: float | None = None


class JobFailure(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class JobRetry(JobFailure):
    """When a job is tried again, and why its last attempt failed."""

    at: datetime = Field(description="It is not tried before then.")
    failures: int = Field(description="Failed attempts in a row without progress; too many fail the job.")


class JobMetrics(BaseModel):
    """Measured metrics of teacher and student."""

    teacher: ModelReport | None = Field(
        default=None, description="Null if there is no teacher to compare with."
    )
    teacher_scores: ScoresReport | None = Field(
        default=None, description="Null where the student learnt from no scores of the data set."
    )
    student: ModelReport | None = None
    metric: str | None = Field(
        default=None, description="The task's main metric, by which the models are compared; more is better."
    )
    trivial_baseline: dict[str, float] = Field(
        default={}, description="The main metric of a constant prediction, by split."
    )
    ratios: Ratios | None = Field(
        default=None, description="Of teacher and student; null where there is no teacher to compare with."
    )
    method: dict[str, float] = Field(default={}, description="What the method measured on the way.")
    seconds: dict[str, float] = Field(
        default={}, description="Wall-clock time by stage, of the attempt that succeeded."
    )

    @classmethod
    def of(cls, report: JobReport) -> "JobMetrics":
        return cls.model_validate(report.model_dump())


class JobRead(BaseModel):
    """A job: its request, its progress and its result."""

    id: str
    object: Literal["job"] = "job"
    status: JobStatus
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    queue: str = Field(description="Queue that it is put into; workers take jobs from queues.")
    status_message: str | None = Field(
        description="Why a queued job does not start, where the reason is not that others come first."
    )
    attempt: int = Field(
        description="Number of the current attempt; a job whose process or worker dies is retried."
    )
    retry: JobRetry | None = Field(
        description="Of a queued job whose last attempt failed: why, and when it is tried again."
    )
    teacher: str | None
    dataset: str
    method: RequestedMethod
    teacher_weights: dict[str, float] | None = None
    student_name: str | None = None
    target: Target | None
    training: TrainingSpec
    exports: list[Precision]
    controls: bool | None = Field(
        default=None, description="Whether controls are trained for the report; null for tasks without any."
    )
    gate: Gate | None = Field(default=None, description="The student's publish gate.")
    time_limit_s: float | None = Field(description="As requested; the server's own limit applies too.")
    running_s: float = Field(description="Seconds that the job has run so far, over all its attempts.")
    progress: JobProgress
    metrics: JobMetrics
    student: str | None = Field(
        description="Id of the new model, once the job has succeeded; null where no student of a search "
        "meets its goals."
    )
    parent: str | None = Field(default=None, description="Id of the search that made this job.")
    search: SearchRead | None = Field(
        default=None, description="Of a search: its trials, the Pareto front and the best student."
    )
    error: JobFailure | None

    @classmethod
    def of(cls, job: Job, *, workers: Sequence[WorkerRow] | None = None) -> "JobRead":
        """As clients see it; ``workers`` are those alive, None where that is not known."""
        spec, report = job.read_spec(), job.read_report()
        failure = retry = None
        if job.error_code is not None:
            failure = JobFailure(code=job.error_code, message=job.error_message or "")
        if failure is not None and job.retry_at is not None:
            failures = job.read_attempt_record().failures
            retry = JobRetry(**vars(failure), at=job.retry_at, failures=failures)
        return cls(
            id=job.id,
            status=job.status,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            cancel_requested_at=job.cancel_requested_at,
            queue=job.queue,
            status_message=None if workers is None else why_it_waits(job, workers),
            attempt=job.attempt,
            retry=retry,
            teacher=spec.teacher,
            dataset=spec.dataset,
            method=spec.method,
            teacher_weights=spec.teacher_weights,
            student_name=spec.student_name,
            target=spec.target,
            training=spec.training,
            exports=spec.exports,
            controls=spec.controls,
            gate=spec.gate,
            time_limit_s=spec.time_limit_s,
            running_s=job.running_s,
            progress=JobProgress.model_validate(job.progress),
            metrics=JobMetrics.of(report) if report else JobMetrics(),
            student=job.student_id,
            parent=job.parent_id,
            search=None if (search := job.read_search()) is None else SearchRead.of(search),
            error=failure if job.status is JobStatus.FAILED else None,
        )


class EventRead(BaseModel):
    """An event of a job. Ids count from 1 within the job."""

    id: int
    object: Literal["job.event"] = "job.event"
    created_at: datetime
    kind: str = Field(description="Event type: status, metrics, message or trial.")
    data: dict[str, Any]
    error: RowError | None = Field(default=None, description="Why an event's data cannot be read, if so.")

    @classmethod
    def of(cls, event: JobEvent) -> "EventRead":
        read = cls(id=event.seq, created_at=event.created_at, kind=event.kind, data={})
        try:
            read.data = event.read().data
        except Unreadable as error:
            read.error = RowError.of(error)
        return read
