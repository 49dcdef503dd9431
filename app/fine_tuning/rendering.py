"""Jobs, their events and checkpoints in the form that the clients of OpenAI's API read."""

import time
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.core.db.checkpoints import JobCheckpoint
from app.core.db.fine_tuning import FineTuningRequest
from app.core.db.jobs import Job, JobEvent
from app.domain.documents import JobSpec
from app.domain.documents.events import Event, Message, Metrics, StatusChange, TrialEvent
from app.domain.errors import Unreadable
from app.domain.job_states import JobStatus
from app.jobs.schemas import JobProgress

_SENTENCES: dict[JobStatus, str] = {
    JobStatus.QUEUED: "The job is queued.",
    JobStatus.RUNNING: "The job is running.",
    JobStatus.SUCCEEDED: "The job has succeeded.",
    JobStatus.FAILED: "The job has failed.",
    JobStatus.CANCELLED: "The job was cancelled.",
}


class HyperparametersRead(BaseModel):
    """As asked for; `auto` is what the plan or the method chooses."""

    n_epochs: float | Literal["auto"]
    batch_size: int
    learning_rate_multiplier: Literal["auto"] = "auto"

    @classmethod
    def of(cls, spec: JobSpec) -> "HyperparametersRead":
        return cls(n_epochs=spec.training.epochs or "auto", batch_size=spec.training.batch_size)


class SupervisedSettingsRead(BaseModel):
    hyperparameters: HyperparametersRead


class FineTuningMethodRead(BaseModel):
    """OpenAI's word for the method, and ours."""

    type: Literal["supervised"] = "supervised"
    supervised: SupervisedSettingsRead
    name: str = Field(description="One of `GET /v1/methods`.")


class FineTuningError(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


class FineTuningJobRead(BaseModel):
    """A job, which is that of `GET /v1/jobs/{job_id}` with the same id. Times are Unix seconds."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    status: JobStatus
    model: str | None = Field(description="Null for a job that trains a first model.")
    fine_tuned_model: str | None = Field(description="Id of the student, once the job has succeeded.")
    training_file: str = Field(description="As it was given; of a job of `POST /v1/jobs` its data set.")
    validation_file: str | None
    dataset: str = Field(description="Id of the data set that was made of the files, to be used again.")
    hyperparameters: HyperparametersRead
    method: FineTuningMethodRead
    seed: int
    error: FineTuningError | None
    metadata: dict[str, str]
    organization_id: str = Field(description="Id of the project.")
    result_files: list[str] = Field(default=[], description="There are none: the student has all results.")
    integrations: list[dict[str, Any]] = []
    trained_tokens: int | None = Field(default=None, description="Tokens are not counted.")

    @classmethod
    def of(cls, job: Job, request: FineTuningRequest | None) -> "FineTuningJobRead":
        """Of a job, and what was said of it where it was asked for in this form."""
        spec = job.read_spec()
        hyperparameters = HyperparametersRead.of(spec)
        error = None
        if job.status is JobStatus.FAILED and job.error_code is not None:
            error = FineTuningError(code=job.error_code, message=job.error_message or "")
        return cls(
            id=job.id,
            created_at=_seconds(job.created_at),
            finished_at=job.finished_at and _seconds(job.finished_at),
            estimated_finish=_estimated_finish(job),
            status=job.status,
            model=spec.teacher,
            fine_tuned_model=job.student_id,
            training_file=request.training_file if request else spec.dataset,
            validation_file=request.validation_file if request else None,
            dataset=spec.dataset,
            hyperparameters=hyperparameters,
            method=FineTuningMethodRead(
                supervised=SupervisedSettingsRead(hyperparameters=hyperparameters), name=spec.method.name
            ),
            seed=spec.training.seed,
            error=error,
            metadata=request.metadata_json if request else {},
            organization_id=job.project_id,
        )


class FineTuningEventRead(BaseModel):
    """An event of a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int = Field(description="Unix seconds.")
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]

    @classmethod
    def of(cls, row: JobEvent) -> "FineTuningEventRead":
        try:
            event = row.read()
        except Unreadable as error:
            event = Message(level="warning", text=error.message)
        return cls(
            id=f"{row.job_id}-{row.seq}",
            created_at=_seconds(row.created_at),
            level=_level(event),
            message=_sentence(event),
            type="metrics" if isinstance(event, Metrics) else "message",
            data=event.data,
        )


class StepMetrics(BaseModel):
    """Metrics of a checkpoint; those of its step are in the job's events."""

    step: int


class FineTuningCheckpointRead(BaseModel):
    """A checkpoint from which a job goes on if its process is lost, until the job has ended."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int = Field(description="Unix seconds.")
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: None = Field(
        default=None, description="A checkpoint is no model; the student is the best one."
    )
    step_number: int
    metrics: StepMetrics

    @classmethod
    def of(cls, checkpoint: JobCheckpoint) -> "FineTuningCheckpointRead":
        return cls(
            id=f"{checkpoint.job_id}-{checkpoint.attempt}-{checkpoint.step}",
            created_at=_seconds(checkpoint.created_at),
            fine_tuning_job_id=checkpoint.job_id,
            step_number=checkpoint.step,
            metrics=StepMetrics(step=checkpoint.step),
        )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _estimated_finish(job: Job) -> int | None:
    left_s = JobProgress.model_validate(job.progress).eta_s
    if job.status is not JobStatus.RUNNING or left_s is None:
        return None
    return int(time.time() + left_s)


def _level(event: Event) -> Literal["info", "warn", "error"]:
    if isinstance(event, Message):
        return "warn" if event.level == "warning" else "info"
    is_failure = isinstance(event, StatusChange) and event.status is JobStatus.FAILED
    return "error" if is_failure else "info"


def _sentence(event: Event) -> str:
    if isinstance(event, Message):
        return event.text
    if isinstance(event, Metrics):
        values = ", ".join(f"{name} = {value:.4g}" for name, value in event.values.items())
        return f"{event.stage}, step {event.step}: {values}"
    if isinstance(event, TrialEvent):
        return f"Trial {event.trial} ({event.method}, {event.parameters:,} parameters): {event.happened}."
    why = event.message or (event.error or {}).get("message")
    return _SENTENCES[event.status] + (f" {why}" if why else "")
