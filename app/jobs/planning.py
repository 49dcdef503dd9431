"""Do a teacher, a data set, a method and a target fit one another, and what comes of them?"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core.db.datasets import get_dataset
from app.core.db.models import Model, get_model
from app.core.errors import Conflict, InvalidRequest
from app.core.manifest import DatasetManifest, ModelManifest
from app.core.planning import Estimate, StudentPlan, estimate, plan_student
from app.core.specs import JobSpec, Target, WeightSqueezingSpec
from app.core.specs import METHOD_CARDS

_SUSTAINED_GFLOPS = 200.0
"""Of two current CPU cores that train in bf16; accelerators do a hundred times as much."""

_TOKENS_PER_WORD = 1.3  # of an English WordPiece vocabulary
_SPECIAL_TOKENS = 3


@dataclass(frozen=True)
class JobPlan:
    """A job that can be run."""

    spec: JobSpec
    """As it will be stored: what was left open is decided."""
    teacher: Model
    labels: list[str]
    student: StudentPlan
    estimate: Estimate


def plan_job(session: Session, spec: JobSpec) -> JobPlan:
    """Check a job against what is registered, and keep that from being deleted until the transaction ends.

    Raises:
        NotFound: the teacher, the data set or the small model does not exist.
        InvalidRequest: they do not fit one another, or the target cannot be reached.
        Conflict: the teacher has no head for the task.
    """
    teacher = get_model(session, spec.teacher, lock="share")
    model = teacher.manifest
    data = get_dataset(session, spec.dataset, lock="share").manifest
    _require_head(spec, model, data)
    spec = _with_max_length(spec, model)
    target = _target(session, spec, model, data)
    student = plan_student(model.card, target, labels=len(data.labels))
    train = data.splits["train"]
    texts = 2 if data.is_pair else 1
    tokens = min(
        spec.training.max_length, train.words["p50"] * _TOKENS_PER_WORD + _SPECIAL_TOKENS - 2 + texts
    )
    return JobPlan(
        spec=spec,
        teacher=teacher,
        labels=data.labels,
        student=student,
        estimate=estimate(
            model.card.at(student.shape),
            labels=len(data.labels),
            rows=train.rows,
            tokens_per_row=tokens,
            training=spec.training,
            teacher=model.card if METHOD_CARDS[spec.method.name].needs_head else None,
            gflops=_SUSTAINED_GFLOPS,
        ),
    )


def _require_head(spec: JobSpec, model: ModelManifest, data: DatasetManifest) -> None:
    if not METHOD_CARDS[spec.method.name].needs_head:
        return
    if model.labels is None:
        raise Conflict(
            "teacher_has_no_head",
            f"The teacher is an encoder without a classifier, and {spec.method.name} learns from a trained "
            "one. Run a job with the method fine_tuning first and take its student as teacher.",
            teacher=spec.teacher,
        )
    _require_same_labels("teacher", model.labels, data.labels, pointer="#/dataset")


def _require_same_labels(whose: str, theirs: list[str], ours: list[str], *, pointer: str) -> None:
    if theirs == ours:
        return
    advice = "Register a data set with the same labels, or fine-tune a teacher on this one."
    if sorted(theirs) == sorted(ours):
        advice = (
            "They are the same in another order: register the data set with 'labels' in the model's order."
        )
    raise InvalidRequest(
        "label_mismatch",
        f"The {whose} knows the labels {_some(theirs)}; the data set has {_some(ours)}. {advice}",
        pointer=pointer,
        model_labels=theirs,
        dataset_labels=ours,
    )


def _with_max_length(spec: JobSpec, model: ModelManifest) -> JobSpec:
    """The default length gives way to a shorter model; one that was asked for does not."""
    if spec.training.max_length <= model.max_length:
        return spec
    if "max_length" in spec.training.model_fields_set:
        raise InvalidRequest(
            "max_length_too_large",
            f"max_length is {spec.training.max_length}; the teacher takes {model.max_length}. Ask for less.",
            pointer="#/training/max_length",
            largest=model.max_length,
        )
    training = spec.training.model_copy(update={"max_length": model.max_length})
    return spec.model_copy(update={"training": training})


def _target(session: Session, spec: JobSpec, model: ModelManifest, data: DatasetManifest) -> Target | None:
    if METHOD_CARDS[spec.method.name].keeps_size:
        if spec.target is not None:
            raise InvalidRequest(
                "target_not_allowed",
                f"{spec.method.name} keeps the model's size. Leave target out, or choose another method.",
                pointer="#/target",
            )
        return None
    if isinstance(spec.method, WeightSqueezingSpec) and spec.method.gate is not None:
        return _gate_target(session, spec, spec.method.gate.small_model, model, data)
    if spec.target is None:
        raise InvalidRequest(
            "target_required",
            f"{spec.method.name} needs a target: compression_ratio, max_parameters, max_size_mb or shape.",
            pointer="#/target",
        )
    return spec.target


def _gate_target(
    session: Session, spec: JobSpec, small_id: str, teacher: ModelManifest, data: DatasetManifest
) -> Target:
    """A gate mixes two models weight by weight: the small one is the student's shape."""
    pointer = "#/method/gate/small_model"
    small = get_model(session, small_id, lock="share").manifest
    if small.labels is not None:
        _require_same_labels("small model", small.labels, data.labels, pointer=pointer)
    for name in ("architecture", "vocabulary", "positions", "token_types"):
        ours, theirs = getattr(small.card, name), getattr(teacher.card, name)
        if ours != theirs:
            raise InvalidRequest(
                "small_model_does_not_fit",
                f"The small model's {name} is {ours}, the teacher's {theirs}. "
                "A gate needs two models of one family with the same tokenizer.",
                pointer=pointer,
            )
    target = Target(shape=small.card.shape)
    if spec.target is not None and spec.target != target:
        raise InvalidRequest(
            "target_not_allowed",
            f"With a gate the student has the small model's shape, {small.card.shape}. Leave target out.",
            pointer="#/target",
        )
    return target


def _some(labels: list[str], *, shown: int = 10) -> str:
    more = f" and {len(labels) - shown} more" if len(labels) > shown else ""
    return f"[{', '.join(labels[:shown])}{more}]"
