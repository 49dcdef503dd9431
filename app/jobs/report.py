"""What a finished job found out, gathered from its row, its models' comparison and its history."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, Field

from app.core.db import ProjectReadSession
from app.core.db.comparisons import get_comparison
from app.core.db.datasets import get_dataset
from app.core.db.jobs import Job, JobEvent, list_events_of_kind
from app.core.db.models import get_model
from app.domain.documents.comparison import Comparison
from app.domain.documents.events import Message, Metrics
from app.domain.documents.gate import GateResult
from app.domain.documents.report import JobReport
from app.domain.errors import Conflict, NotFound, Unreadable
from app.domain.reports.tables import Report

_MOST_EVENTS: Final = 20_000
_MOST_POINTS: Final = 200


class CurvePoint(BaseModel):
    """A value at a training step."""

    step: int
    value: float


class Curve(BaseModel):
    """How a value went during the training."""

    stage: str
    name: str = Field(description="loss, dev_quality, and others that the method measured.")
    points: list[CurvePoint] = Field(description="At most 200, evenly chosen of those in the job's events.")


class ReportedModel(BaseModel):
    """A model or data set of the job."""

    id: str
    name: str | None = Field(description="Null if it was deleted.")


class ReportRead(BaseModel):
    """The report of a job that has succeeded: everything measured of its models, side by side."""

    object: Literal["job.report"] = "job.report"
    job: str
    created_at: datetime
    finished_at: datetime | None
    method: str
    teacher: ReportedModel | None
    student: ReportedModel
    dataset: ReportedModel
    metrics: JobReport
    comparison: Comparison | None = Field(
        description="Of the teacher, the student, its files and controls on the same rows; null for jobs of "
        "earlier versions."
    )
    gate: GateResult | None = Field(description="What the publish gate says; null where there was none.")
    curves: list[Curve]
    warnings: list[str] = Field(description="What was doubtful, as the job's events say it.")


def read_report(session: ProjectReadSession, job: Job) -> ReportRead:
    """The report of a job.

    Raises:
        Conflict: it has not succeeded.
        Unreadable: a later version of the service wrote a part of it, or it is damaged.
    """
    report = job.read_report()
    if report is None or job.student_id is None:
        raise _without_report(job)
    events = list_events_of_kind(session, job.id, "metrics", limit=_MOST_EVENTS)
    messages = list_events_of_kind(session, job.id, "message", limit=_MOST_EVENTS)
    return ReportRead(
        job=job.id,
        created_at=job.created_at,
        finished_at=job.finished_at,
        method=job.method,
        teacher=None if job.teacher_id is None else _model(session, job.teacher_id),
        student=_model(session, job.student_id),
        dataset=_dataset(session, job.dataset_id),
        metrics=report,
        comparison=get_comparison(session, job.id),
        gate=_gate(session, job.student_id),
        curves=list(_curves(events)),
        warnings=list(_warnings(messages)),
    )


def shown(read: ReportRead) -> Report:
    """The same for the forms that people read."""
    facts = {
        "Job": read.job,
        "Student": _shown(read.student),
        "Teacher": "none" if read.teacher is None else _shown(read.teacher),
        "Data set": _shown(read.dataset),
        "Method": read.method,
        "Finished": "" if read.finished_at is None else f"{read.finished_at:%Y-%m-%d %H:%M} UTC",
    }
    return Report(
        title=f"Report on {read.student.name or read.student.id}",
        facts=facts,
        measured=read.metrics,
        comparison=read.comparison,
        gate=read.gate.sentences if read.gate else (),
        warnings=read.warnings,
    )


def _shown(model: ReportedModel) -> str:
    return f"{model.id} (deleted)" if model.name is None else f"{model.name} ({model.id})"


def _without_report(job: Job) -> Conflict:
    advice = (
        "A report is there once a job has succeeded."
        if job.status.is_terminal
        else "Its report is there once it has succeeded: wait for it."
    )
    return Conflict(
        "report_not_available",
        f"Job {job.id} is {job.status} and has no report. {advice}",
        status=job.status.value,
    )


def _model(session: ProjectReadSession, model_id: str) -> ReportedModel:
    try:
        return ReportedModel(id=model_id, name=get_model(session, model_id).name)
    except NotFound:
        return ReportedModel(id=model_id, name=None)


def _dataset(session: ProjectReadSession, dataset_id: str) -> ReportedModel:
    try:
        return ReportedModel(id=dataset_id, name=get_dataset(session, dataset_id).name)
    except NotFound:
        return ReportedModel(id=dataset_id, name=None)


def _gate(session: ProjectReadSession, student_id: str) -> GateResult | None:
    """As it stands: a release is written to the model."""
    try:
        return get_model(session, student_id).manifest.gate
    except NotFound:
        return None


def _curves(events: Sequence[JobEvent]) -> Iterator[Curve]:
    series: dict[tuple[str, str], list[CurvePoint]] = {}
    for event in events:
        try:
            measured = event.read()
        except Unreadable:
            continue  # the job's events say why
        assert isinstance(measured, Metrics)
        for name, value in measured.values.items():
            points = series.setdefault((measured.stage, name), [])
            # An attempt that went on from a checkpoint measures some steps again.
            while points and points[-1].step >= measured.step:
                points.pop()
            points.append(CurvePoint(step=measured.step, value=value))
    for (stage, name), points in series.items():
        if len(points) > 1:
            yield Curve(stage=stage, name=name, points=_thinned(points))


def _thinned(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """The first and the last among them."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    last = len(points) - 1
    return [points[round(i * last / (_MOST_POINTS - 1))] for i in range(_MOST_POINTS)]


def _warnings(events: Sequence[JobEvent]) -> Iterator[str]:
    for event in events:
        try:
            message = event.read()
        except Unreadable:
            continue
        if isinstance(message, Message) and message.level == "warning":
            yield message.text
