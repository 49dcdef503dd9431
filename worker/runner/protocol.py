"""What passes between the supervisor and its child: a request, a stream of events, an outcome.

The supervisor writes ``request.json`` and all that the job reads into the work folder, starts the child on
it, and stores what it leaves there. The child writes events as JSON lines on the pipe that was its standard
output, ends by writing ``outcome.json``, and exits with 0. Without an outcome it has died: of a full disk if
it exits with ``DISK_FULL_STATUS``. SIGTERM asks it to stop, SIGUSR1 to save a checkpoint first; its standard
input tells it how long it may work (``worker.job.supervisor_watch``).
"""

import errno
import os
import threading
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, TypeAdapter

from app.domain.architectures import Architecture
from app.domain.documents import JobSpec
from app.domain.documents.comparison import Comparison
from app.domain.documents.events import Message, Metrics, Progress
from app.domain.documents.manifest import DatasetManifest, FileEntry, ModelManifest, OnnxExport
from app.domain.documents.plan import Plan
from app.domain.documents.report import JobReport
from app.domain.job_labels import job_labels
from app.domain.job_vectors import job_dimensions
from app.domain.methods import TEACHER
from app.domain.planning.compatibility import is_compared
from app.domain.score_scale import job_activation
from app.domain.tasks import TASKS
from app.domain.tasks.record import Activation

REQUEST = "request.json"
OUTCOME = "outcome.json"
DISK_FULL_STATUS = os.EX_CANTCREAT
CHECKPOINTS = "checkpoints"
LATENCIES = "latency.json"
INPUTS = "inputs"
DATASET = "dataset"
STUDENT = "student"
TEACHER_EXPORTS = "teacher_exports"
KEPT = (CHECKPOINTS, LATENCIES, DATASET, INPUTS)
"""What an attempt leaves to the next one. These files are renamed into place and never changed."""


class ModelRef(BaseModel):
    """A registered model and where its files are."""

    id: str
    manifest: ModelManifest


class DatasetRef(BaseModel):
    """A registered data set and where its files are."""

    id: str
    manifest: DatasetManifest


class StoredCheckpoint(BaseModel):
    """A checkpoint in the store, of this attempt or an earlier one."""

    key: str
    step: int
    file: FileEntry


class JobRequest(BaseModel):
    """Everything that the child needs to know; it sees neither database, nor store, nor settings."""

    job_id: str
    attempt: int
    spec: JobSpec
    plan: Plan | None = Field(default=None, description="What the client was shown, where it is stored.")
    student_id: str = Field(description="The id under which the student will be registered.")
    inputs: dict[str, ModelRef] = Field(description="By role: the teacher and what the method names.")
    dataset: DatasetRef
    cache_dir: Path = Field(description="Shared by jobs.")
    onnx_tolerance: float
    int8_min_agreement: float
    checkpoint_interval_s: float = Field(default=30, description="How much work a lost process may cost.")
    checkpoints: list[StoredCheckpoint] = Field(
        default=[], description="What earlier attempts, on whatever machine, have stored of their work."
    )
    output_prefix: str = Field(
        description="Where the student's files go; no other attempt's. No slash ends it."
    )
    checkpoint_prefix: str = Field(description="Where the attempt's checkpoints go, likewise.")

    @property
    def teacher(self) -> ModelRef | None:
        """None where the method makes a first model."""
        return self.inputs.get(TEACHER)

    @property
    def is_compared(self) -> bool:
        """Whether there is a teacher to measure."""
        model = None if self.teacher is None else self.teacher.manifest
        return is_compared(self.spec, model, self.dataset.manifest, self.labels)

    @property
    def learns_vectors(self) -> bool:
        """Whether the student answers in the space of vectors that came with the data."""
        return self.learns_from_scores and TASKS[self.dataset.manifest.task].answers_in_vectors

    @property
    def needs_head(self) -> bool:
        """Whether the predictions of the teacher's head are learnt from, or its head is inherited."""
        return self.spec.method.card.needs_head and not self.learns_from_scores

    @property
    def learns_from_scores(self) -> bool:
        """Whether scores that came with the data take the place of a network's predictions."""
        return self.spec.method.learns_from_outputs and bool(self.dataset.manifest.teachers)

    @property
    def labels(self) -> list[str]:
        """Of the student, in the order of its outputs."""
        model = None if self.teacher is None else self.teacher.manifest
        return job_labels(model, self.dataset.manifest, needs_head=self.needs_head)

    @property
    def dimensions(self) -> int:
        """Of the student's vectors, where its shape does not say it; 0 for tasks with other answers."""
        model = None if self.teacher is None else self.teacher.manifest
        return job_dimensions(
            model, self.dataset.manifest, self.spec.target, learns_from_scores=self.learns_from_scores
        )

    @property
    def activation(self) -> Activation | None:
        """What the student's one output goes through."""
        model = None if self.teacher is None else self.teacher.manifest
        return job_activation(model, self.dataset.manifest, needs_head=self.needs_head)

    @property
    def planned_student(self) -> Architecture | None:
        """As the client was shown it; None where the worker plans: by measuring, or for an old job."""
        target = self.spec.target
        if self.plan is None or (target is not None and target.max_latency_ms is not None):
            return None
        return self.plan.student.architecture


class StageStarted(BaseModel):
    """The attempt has begun a stage of the job; not for clients, whom progress tells of it."""

    kind: Literal["stage"] = "stage"
    number: int = Field(description="From 1, in the order of the child's stages.")


class CheckpointWritten(BaseModel):
    """A checkpoint lies in the work folder."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int


class Alive(BaseModel):
    """The process goes on with its work, though there is nothing else to tell."""

    kind: Literal["alive"] = "alive"


ChildEvent: TypeAlias = Progress | Metrics | Message | StageStarted | CheckpointWritten | Alive
CHILD_EVENT: TypeAdapter[ChildEvent] = TypeAdapter(Annotated[ChildEvent, Field(discriminator="kind")])


class Succeeded(BaseModel):
    """The student lies in the work folder, measured and checked; then in the store."""

    kind: Literal["succeeded"] = "succeeded"
    manifest: ModelManifest
    metrics: dict[str, Any] = Field(description="The student's own, for its registry row.")
    report: JobReport
    comparison: Comparison | None = Field(
        default=None, description="Of the job's models on the same rows; None of a worker that has none yet."
    )
    stage_seconds: dict[str, float] | None = Field(
        default=None,
        description="What the stages of the plan took, as the supervisor saw it; None where an attempt only "
        "went on with the training of an earlier one.",
    )
    teacher_exports: dict[str, OnnxExport] = Field(
        default_factory=dict,
        description="By precision: ONNX files that the teacher's manifest lacked.",
    )
    teacher_files: dict[str, FileEntry] = Field(
        default_factory=dict, description="Those files by name, once they are stored beside the teacher's."
    )


class Failed(BaseModel):
    """The attempt failed: the job cannot be done, or not now."""

    kind: Literal["failed"] = "failed"
    code: str = Field(description="Stable, snake_case.")
    message: str = Field(description="For the client: one or two sentences, no traceback.")
    retryable: bool = False


class Cancelled(BaseModel):
    """The child stopped because it was asked to; a checkpoint may be left."""

    kind: Literal["cancelled"] = "cancelled"


class _Outcome(BaseModel):
    """An outcome and whose it is."""

    job_id: str
    attempt: int
    outcome: Annotated[Succeeded | Failed | Cancelled, Field(discriminator="kind")]


def input_folder(workdir: Path, role: str) -> Path:
    """Where the files of an input lie while the job runs."""
    return workdir / INPUTS / role


def checkpoint_path(folder: Path, step: int) -> Path:
    """Of the checkpoint of a training step."""
    return folder / f"{step:010d}.safetensors"


def checkpointed_steps(folder: Path) -> list[int]:
    """The training steps whose checkpoints lie in a folder, in order."""
    return sorted(int(path.stem) for path in folder.glob("*.safetensors") if path.stem.isdecimal())


def write_request(workdir: Path, request: JobRequest) -> None:
    _write_atomically(workdir / REQUEST, request)


def read_request(workdir: Path) -> JobRequest:
    return JobRequest.model_validate_json((workdir / REQUEST).read_bytes())


def write_outcome(workdir: Path, request: JobRequest, outcome: Succeeded | Failed | Cancelled) -> None:
    """Hand over to the supervisor.

    Raises:
        SystemExit: the disk has no room even for this; the exit status says so.
    """
    named = _Outcome(job_id=request.job_id, attempt=request.attempt, outcome=outcome)
    try:
        _write_atomically(workdir / OUTCOME, named)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SystemExit(DISK_FULL_STATUS) from error
        raise


def read_outcome(workdir: Path, request: JobRequest) -> Succeeded | Failed | Cancelled | None:
    """What the child handed over; None when it never came so far.

    Raises:
        ValueError: the file is no outcome, or that of another attempt.
    """
    try:
        found = _Outcome.model_validate_json((workdir / OUTCOME).read_bytes())
    except FileNotFoundError:
        return None
    if (found.job_id, found.attempt) != (request.job_id, request.attempt):
        raise ValueError(f"the outcome is that of job {found.job_id}, attempt {found.attempt}")
    return found.outcome


class EventPipe:
    """The child's end of the event stream: takes over file descriptor 1 for good.

    Whatever prints to standard output afterwards, native libraries included, reaches standard error instead.
    """

    def __init__(self) -> None:
        self._fd = os.dup(1)
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def send(self, event: ChildEvent) -> None:
        line = event.model_dump_json().encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._fd, line) :]


def _write_atomically(path: Path, content: BaseModel) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(content.model_dump_json())
    partial.replace(path)
