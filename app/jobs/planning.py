"""What would come of a job, if it can be run at all."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.core.db import ProjectReadSession
from app.core.db.datasets import get_dataset
from app.core.db.models import get_model
from app.core.db.stage_times import device_name, stage_times_on
from app.core.db.workers import live_workers
from app.domain.architectures import Architecture
from app.domain.documents import JobSpec, Target
from app.domain.documents.manifest import DatasetManifest, ModelManifest
from app.domain.documents.plan import Advice, Estimate, Plan, PlannedScores, PlannedTeacher, StudentPlan
from app.domain.errors import InvalidRequest
from app.domain.job_labels import job_labels, told_match
from app.domain.job_vectors import job_dimensions, require_dimensions
from app.domain.methods import ModelInput
from app.domain.planning import (
    MeasuredJob,
    TypicalRow,
    Workload,
    estimate,
    learnt_rows,
    plan_student,
    windows_of,
    with_epochs,
)
from app.domain.planning.compatibility import (
    is_compared,
    learns_from_scores,
    must_be_taught,
    needs_head,
    require_method,
    require_metric,
    require_mixable,
    require_outputs,
    require_splits,
    require_teacher,
    require_terms,
)
from app.domain.planning.controls import CONTROLLED_TASKS, controls_of
from app.domain.planning.stages import FIGURES_VERSION, figures_of
from app.domain.planning.teacher_scores import knows_task, plan_scores, unscored_rows
from app.domain.score_scale import job_activation, score_scale
from app.domain.tasks import TASKS, Head
from app.jobs.latency_estimate import TOKENS, estimate_latency_ms

_TOKENS_PER_WORD = 1.3  # of an English WordPiece vocabulary
_SPECIAL_TOKENS = 2


@dataclass(frozen=True)
class JobPlan:
    """A job that can be run."""

    spec: JobSpec
    """The spec as it will be stored, with all defaults filled in."""
    plan: Plan
    """As the client sees it; the worker keeps to it."""


def plan_job(session: ProjectReadSession, spec: JobSpec, *, teacher_will_be_taught: bool = False) -> JobPlan:
    """Check a job against what is registered.

    Args:
        session: what is registered.
        spec: as the client sends it.
        teacher_will_be_taught: whether an encoder without a head may stand for the teacher that will be
            fine-tuned out of it. Such a job can be planned, and cannot be run.

    Raises:
        NotFound: the teacher, the data set or the small model does not exist.
        InvalidRequest: they do not fit one another, or the target cannot be reached.
        Conflict: the teacher has no head for the task.
    """
    teacher = None if spec.teacher is None else get_model(session, spec.teacher)
    model = None if teacher is None else teacher.manifest
    data = get_dataset(session, spec.dataset).manifest
    require_method(spec, data)
    require_splits(data)
    labels = job_labels(model, data, needs_head=needs_head(spec, data))
    require_metric(spec, data, labels=len(labels))
    if data.teachers or TASKS[data.task].answers_in_vectors:
        spec = spec.model_copy(update={"method": spec.method.with_scores()})
    require_terms(spec, data)
    says_vectors = learns_from_scores(spec, data)
    require_dimensions(model, data, spec.target, learns_from_scores=says_vectors)
    if model is None:
        require_outputs(spec, data)
    else:
        require_teacher(spec, model, data, will_be_taught=teacher_will_be_taught)
        spec = _with_max_length(spec, model)
    scores = plan_scores(spec, model, data)
    architecture = None if model is None else model.architecture
    _require_measurable(spec, model, data, labels)
    head = Head.of(
        data.task,
        labels=len(labels),
        vocabulary=architecture.vocabulary if architecture else 1,
        dimensions=job_dimensions(model, data, spec.target, learns_from_scores=says_vectors),
    )
    texts = 2 if data.is_pair and not TASKS[data.task].takes_pairs else 1  # of a row, each by itself
    windows = texts * _windows(spec, data)
    rows = windows * data.splits["train"].rows
    unlabeled = windows * _unlabeled_rows(data, scores, model)
    training = with_epochs(
        spec.training,
        rows=learnt_rows(spec.method, head, rows=rows, unlabeled=unlabeled),
        labels=len(labels),
    )
    spec = spec.model_copy(
        update={"target": _target(session, spec, model, data, labels), "training": training}
    )
    row = _typical_row(spec, data)
    student = plan_student(
        architecture,
        spec.method,
        spec.target,
        head=head,
        latency=estimate_latency_ms,
        text_tokens=(rows + unlabeled) * row.tokens,
    )
    spec = _with_controls(spec, data, architecture, student.architecture)
    caveats = list(_caveats(spec, model, data, student, labels))
    student = student.model_copy(update={"advice": [*caveats, *student.advice]})
    return JobPlan(
        spec=spec,
        plan=Plan(
            teacher=PlannedTeacher.of(teacher.id, architecture, head) if teacher and architecture else None,
            teacher_scores=scores,
            student=student,
            estimate=_estimate(
                session,
                Workload(
                    student=student.architecture,
                    method=spec.method,
                    head=head,
                    rows=rows,
                    row=row,
                    training=spec.training,
                    teacher=architecture if spec.method.card.needs_head else None,
                    given=architecture,
                    unlabeled=unlabeled,
                    scored=_scored_rows(spec, data, scores),
                    dev=windows * data.splits["dev"].rows,
                    test=windows * data.splits["test"].rows if "test" in data.splits else 0,
                    exports=len(spec.exports),
                    is_compared=is_compared(spec, model, data, labels),
                    is_timed=student.latency_ms is not None,
                    has_controls=bool(spec.controls),
                ),
            ),
        ),
    )


def _estimate(session: ProjectReadSession, job: Workload) -> Estimate:
    """By what jobs have taken on the devices of the workers that are there."""
    devices = [worker.devices for worker in live_workers(session)]
    rows = stage_times_on(
        session,
        {device_name(names) for names in devices},
        method=job.method.name,
        figures_version=FIGURES_VERSION,
    )
    measured = [MeasuredJob(row.method, row.step_products, row.ratios) for row in rows]
    figures = figures_of([name for names in devices for name in names])
    return estimate(job, figures=figures, measured=measured)


def _unlabeled_rows(
    data: DatasetManifest, scores: PlannedScores | None, teacher: ModelManifest | None
) -> int:
    """Rows without labels of which something is said."""
    summary = data.splits.get("unlabeled")
    if summary is None:
        return 0
    if scores is None or knows_task(teacher, data):
        return summary.rows
    return summary.rows - unscored_rows(summary, scores.weights)


def _scored_rows(spec: JobSpec, data: DatasetManifest, scores: PlannedScores | None) -> int:
    """Rows of which the teacher's network need not be asked."""
    if scores is None or spec.method.learns_from_states:
        return 0
    summaries = [data.splits[split] for split in scores.rows]
    return sum(summary.rows - unscored_rows(summary, scores.weights) for summary in summaries)


def _require_measurable(
    spec: JobSpec, teacher: ModelManifest | None, data: DatasetManifest, labels: list[str]
) -> None:
    """Refuse a gate that nothing could pass, because what it asks for is not measured."""
    asked = set() if spec.gate is None else set(spec.gate.conditions) - {"min_quality"}
    if not asked:
        return
    condition = min(asked)
    if not is_compared(spec, teacher, data, labels):
        raise InvalidRequest(
            "gate_not_measurable",
            f"gate.{condition} compares the student with a teacher, and this job measures none. Omit it, or "
            "use gate.min_quality.",
            pointer=f"#/gate/{condition}",
        )
    if "min_agreement" in asked and TASKS[data.task].answers_in_tokens:
        raise InvalidRequest(
            "gate_not_measurable",
            f"gate.min_agreement is not measured for {data.task}. Omit it, or use gate.max_drop.",
            pointer="#/gate/min_agreement",
        )


def _with_controls(
    spec: JobSpec, data: DatasetManifest, teacher: Architecture | None, student: Architecture
) -> JobSpec:
    """Whether controls are trained is decided before the job is stored."""
    if spec.controls and data.task not in CONTROLLED_TASKS:
        raise InvalidRequest(
            "controls_not_supported_for_task",
            f"Controls are trained for {' and '.join(CONTROLLED_TASKS)}; the data set's task is {data.task}. "
            "Omit controls.",
            pointer="#/controls",
            task=data.task,
        )
    wanted = spec.controls is not False and data.task in CONTROLLED_TASKS
    are_some = wanted and bool(controls_of(spec.method, teacher, student))
    return spec.model_copy(update={"controls": are_some if data.task in CONTROLLED_TASKS else None})


def _with_max_length(spec: JobSpec, model: ModelManifest) -> JobSpec:
    """The default length gives way to a shorter model; one that was asked for does not."""
    if spec.training.max_length <= model.max_length:
        return spec
    if "max_length" in spec.training.model_fields_set:
        raise InvalidRequest(
            "max_length_too_large",
            f"training.max_length is {spec.training.max_length}; the teacher supports at most "
            f"{model.max_length}. Use a smaller value.",
            pointer="#/training/max_length",
            largest=model.max_length,
        )
    training = spec.training.model_copy(update={"max_length": model.max_length})
    return spec.model_copy(update={"training": training})


def _target(
    session: ProjectReadSession,
    spec: JobSpec,
    teacher: ModelManifest | None,
    data: DatasetManifest,
    labels: list[str],
) -> Target | None:
    method = spec.method
    if method.shape_role is not None and teacher is not None:
        [small] = [given for given in method.inputs if given.role == method.shape_role]
        return _target_of(session, spec, small, teacher, data, labels)
    if spec.target is None and not method.card.keeps_size:
        raise InvalidRequest(
            "target_required",
            f"{method.name} needs a target with one of {', '.join(method.card.targets)}.",
            pointer="#/target",
        )
    return spec.target


def _target_of(
    session: ProjectReadSession,
    spec: JobSpec,
    given: ModelInput,
    teacher: ModelManifest,
    data: DatasetManifest,
    labels: list[str],
) -> Target:
    """The shape of the model that the student is mixed with."""
    small = get_model(session, given.model_id).manifest
    require_mixable(
        small,
        teacher,
        data,
        labels=labels,
        activation=job_activation(teacher, data, needs_head=needs_head(spec, data)),
        pointer=given.pointer,
    )
    target = Target(shape=small.architecture.shape)
    if spec.target is not None and spec.target != target:
        raise InvalidRequest(
            "target_not_allowed",
            f"A gated student has the small model's shape, {small.architecture.shape}. Omit target.",
            pointer="#/target",
        )
    return target


def _typical_row(spec: JobSpec, data: DatasetManifest) -> TypicalRow:
    train = data.splits["train"]

    def tokens(words: dict[str, int] | None, special: int, texts: int = 1) -> float:
        if words is None:
            return 0.0
        return min(spec.training.max_length, words["p50"] / texts * _TOKENS_PER_WORD + special)

    is_joined = data.is_pair and TASKS[data.task].takes_pairs
    texts = 2 if data.is_pair and not is_joined else 1
    return TypicalRow(
        tokens=tokens(train.words, _SPECIAL_TOKENS + is_joined, texts),
        target_tokens=tokens(train.target_words, 1),
    )


def _windows(spec: JobSpec, data: DatasetManifest) -> int:
    """Rows that a typical row of the data set becomes."""
    if TASKS[data.task].answering != "span":
        return 1
    return windows_of(data.splits["train"].words["p50"] * _TOKENS_PER_WORD, spec.training.max_length)


def _caveats(
    spec: JobSpec,
    teacher: ModelManifest | None,
    data: DatasetManifest,
    student: StudentPlan,
    labels: list[str],
) -> Iterator[Advice]:
    if teacher is not None and must_be_taught(spec, teacher, data):
        yield Advice(
            about="teacher",
            message=f"The teacher has no head for {data.task} yet. This is the plan for the model that a "
            "fine_tuning job makes of it; run that job first.",
        )
    if (matched := told_match(labels, data)) is not None:
        yield Advice(about="labels", message=matched)
    activation = job_activation(teacher, data, needs_head=needs_head(spec, data))
    if activation is not None and (scale := score_scale(data)) is not None:
        yield Advice(about="teacher", message=scale.told)
    if student.latency_ms is not None:
        yield Advice(
            about="latency",
            message=f"{student.latency_ms:.3g} ms is an estimate from the matrix products of one text of "
            f"{TOKENS} tokens, timed on the API host. When the job starts the worker measures networks of "
            "such shapes and may choose another student.",
        )
