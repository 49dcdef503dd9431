"""Do a teacher, a data set and a method fit one another?"""

import re
from typing import Final, get_args

from app.domain.architectures import Architecture, EncoderArchitecture
from app.domain.documents import JobSpec
from app.domain.documents.manifest import DatasetManifest, ModelManifest
from app.domain.errors import Conflict, InvalidRequest
from app.domain.job_labels import unknown_labels
from app.domain.methods import METHOD_CARDS
from app.domain.methods.card import SizeConstraint
from app.domain.tasks import TASKS, Task, tasks_of
from app.domain.tasks.record import Activation

_UNNAMED: Final = re.compile(r"LABEL_\d+")
"""As transformers calls an output that nobody has named."""
_INTEGER: Final = re.compile(r"-?\d+")


def require_method(spec: JobSpec, data: DatasetManifest) -> None:
    """Refuse a method for a task or a target that it cannot do.

    Raises:
        InvalidRequest: it cannot, or has no target where it needs one.
    """
    name, method_card = spec.method.name, spec.method.card
    if data.task not in method_card.tasks:
        able = [other for other, its_card in METHOD_CARDS.items() if data.task in its_card.tasks]
        raise InvalidRequest(
            "method_not_supported_for_task",
            f"The data set's task is {data.task}; {name} supports {_listed(method_card.tasks)}. Methods for "
            f"{data.task}: {_listed(able)}.",
            pointer="#/method/name",
            task=data.task,
            methods=able,
        )
    if spec.target is None:
        return
    if method_card.keeps_size:
        raise InvalidRequest(
            "target_not_allowed",
            f"{name} keeps the model's size. Omit target or choose another method.",
            pointer="#/target",
        )
    [bound] = [bound for bound in get_args(SizeConstraint) if getattr(spec.target, bound) is not None]
    if bound not in method_card.targets:
        raise InvalidRequest(
            "target_not_allowed",
            f"{name} does not support {bound}. Use {_listed(method_card.targets)}.",
            pointer=f"#/target/{bound}",
        )


def require_metric(spec: JobSpec, data: DatasetManifest, *, labels: int) -> None:
    """Refuse to keep the best step by a metric that the task has not with so many labels.

    Raises:
        InvalidRequest: it has others.
    """
    metric, possible = spec.training.metric, TASKS[data.task].selecting_metrics_of(labels)
    if metric is not None and metric not in possible:
        has = f"supports {_listed(list(possible))}" if possible else "is selected by loss; omit metric"
        raise InvalidRequest(
            "metric_not_supported_for_task",
            f"training.metric is {metric}; {data.task}{_with_labels(labels)} {has}.",
            pointer="#/training/metric",
            metrics=list(possible),
        )


def require_terms(spec: JobSpec, data: DatasetManifest) -> None:
    """Refuse terms on the inside of a teacher that is learnt from through its translations or vectors alone.

    Raises:
        InvalidRequest: there are some, or labels are to decide where there are none.
    """
    if spec.method.weighs_by_labels and TASKS[data.task].answers_in_vectors:
        raise InvalidRequest(
            "labels_required",
            f"factorisation fisher weighs rows by the loss of labels, and {data.task} has none. Use svd.",
            pointer="#/method/factorisation",
        )
    terms = spec.method.distillation_terms
    if terms is not None and TASKS[data.task].answers_in_vectors and not terms.logits_weight:
        raise InvalidRequest(
            "distillation_terms_not_supported",
            f"logits_weight is 0, but {data.task} has nothing to learn beside the teacher's vectors. Omit "
            "it.",
            pointer="#/method/distillation/logits_weight",
        )
    if terms is None or not TASKS[data.task].writes:
        return
    for name in terms.state_weights:
        raise InvalidRequest(
            "distillation_terms_not_supported",
            f"{name} is not supported for translation: the student learns from the teacher's "
            "translations only. Omit it.",
            pointer=f"#/method/distillation/{name}",
        )


def require_splits(data: DatasetManifest) -> None:
    """Refuse a data set that has nothing to learn and measure: a transfer set is none by itself.

    Raises:
        InvalidRequest: there is no train or no dev split.
    """
    missing = [split for split in ("train", "dev") if split not in data.splits]
    if missing:
        raise InvalidRequest(
            "missing_splits",
            f"The data set has no {' and no '.join(missing)} split. Upload unlabeled texts as the unlabeled "
            "split of a data set that has both.",
            pointer="#/dataset",
        )


def require_outputs(spec: JobSpec, data: DatasetManifest) -> None:
    """Refuse a job without a teacher that is to learn what only a teacher's network says.

    Raises:
        InvalidRequest: it learns from predictions and the data set has no scores, or from hidden states.
    """
    method = spec.method
    if data.task not in method.tasks_without_teacher:
        return  # it needs the teacher for more, and planning says so
    if method.learns_from_outputs and not data.teachers:
        raise InvalidRequest(
            "teacher_required",
            f"{method.name} learns from a teacher's predictions. Set teacher to the id of a registered "
            "model, or upload the data set with a column 'teacher_scores' in train or unlabeled.",
            pointer="#/teacher",
        )
    terms = method.distillation_terms
    named = [f"distillation/{name}" for name in terms.state_weights] if terms else list(method.named_layers)
    for setting in named:
        raise InvalidRequest(
            "teacher_required",
            f"{setting.rpartition('/')[2]} is about hidden states, which teacher_scores do not say. Omit it, "
            "or set teacher to the id of a registered model.",
            pointer=f"#/method/{setting}",
        )


def learns_from_scores(spec: JobSpec, data: DatasetManifest) -> bool:
    """Whether scores of the data set take the place of what a teacher's head says."""
    return spec.method.learns_from_outputs and bool(data.teachers)


def needs_head(spec: JobSpec, data: DatasetManifest) -> bool:
    """Whether the method needs the teacher's head on this data set."""
    return spec.method.card.needs_head and not learns_from_scores(spec, data)


def is_compared(spec: JobSpec, model: ModelManifest | None, data: DatasetManifest, labels: list[str]) -> bool:
    """Whether there is a teacher to measure: before fine-tuning there is none, and scratch needs none."""
    if model is None or not spec.method.is_compared:
        return False
    is_elsewhere = TASKS[data.task].answers_in_vectors and learns_from_scores(spec, data)
    return (model.has_head_for(data.task, labels) and not is_elsewhere) or needs_head(spec, data)


def must_be_taught(spec: JobSpec, model: ModelManifest, data: DatasetManifest) -> bool:
    """Whether the method needs a teacher with a head, and the model is an encoder without one."""
    return needs_head(spec, data) and model.is_bare and not TASKS[data.task].answers_in_vectors


def require_teacher(
    spec: JobSpec, model: ModelManifest, data: DatasetManifest, *, will_be_taught: bool
) -> None:
    """Refuse a teacher that cannot do the data set's task, or that does not know it yet where it must.

    Where the data has teachers' scores, it need not know the task: its weights are what is inherited.

    Args:
        spec: of the job.
        model: its teacher.
        data: its data set.
        will_be_taught: whether an encoder is let through, for what will be fine-tuned out of it.

    Raises:
        InvalidRequest: it is a network of another kind or no network, or knows another task or other labels.
        Conflict: it has no head.
    """
    _require_kind(model.architecture, data.task)
    _require_trainable(model.architecture, spec)
    if not needs_head(spec, data):
        return
    if must_be_taught(spec, model, data):
        if will_be_taught:
            return
        raise Conflict(
            "teacher_has_no_head",
            f"The teacher is an encoder without a task head; {spec.method.name} needs one trained for "
            f"{data.task}. Run a fine_tuning job first and use its student as the teacher, or upload the "
            "data set with a column 'teacher_scores' to learn from.",
            teacher=spec.teacher,
        )
    if TASKS[data.task].answers_in_vectors:
        return  # any encoder has vectors
    require_same_task("teacher", model, data, pointer="#/dataset")
    _require_known_labels(model, data)


def _require_kind(architecture: Architecture, task: Task) -> None:
    if architecture.kind in TASKS[task].networks:
        return
    what = {
        "encoder": "an encoder, which cannot translate",
        "tfidf": f"a classifier over TF-IDF, which supports {_listed(tasks_of('tfidf'))}",
        "bilstm": f"a BiLSTM, which supports {_listed(tasks_of('bilstm'))}",
        "encoder_decoder": "a translation model, which supports no other task",
        "static": "a table of vectors, of which nothing can be compressed",
    }[architecture.kind]
    raise InvalidRequest(
        "incompatible_teacher",
        f"The data set's task is {task}, and the teacher is {what}. Use another teacher or another data set.",
        pointer="#/teacher",
        task=task,
    )


def _require_trainable(architecture: Architecture, spec: JobSpec) -> None:
    if architecture.kind == "tfidf":
        raise InvalidRequest(
            "incompatible_teacher",
            f"The teacher is a {architecture.record.title} model, of which {spec.method.name} makes nothing. "
            "Use a transformer, or the method tfidf without a teacher.",
            pointer="#/teacher",
        )


def require_same_task(whose: str, model: ModelManifest, data: DatasetManifest, *, pointer: str) -> None:
    """Refuse a model with a head for another task.

    Raises:
        InvalidRequest: it has.
    """
    if model.task != data.task:
        raise InvalidRequest(
            "task_mismatch",
            f"The {whose}'s head is for {model.task}; the data set's task is {data.task}. "
            "Register a data set for the model's task, or fine-tune the model on this one.",
            pointer=pointer,
            model_task=model.task,
            dataset_task=data.task,
        )


def _require_known_labels(teacher: ModelManifest, data: DatasetManifest) -> None:
    """Refuse a teacher that does not know all labels of the data set, by name and in whatever order."""
    theirs = teacher.labels or []
    unknown = unknown_labels(theirs, data)
    if not unknown:
        return
    raise InvalidRequest(
        "label_mismatch",
        f"The teacher has the labels {_some(theirs)}; the data set has {_some(data.labels)}. Labels are "
        f"matched by name, and the teacher does not know {_some(unknown)}. {_naming_advice(theirs, data)}",
        pointer="#/dataset",
        model_labels=theirs,
        dataset_labels=data.labels,
        unknown=unknown,
    )


def _naming_advice(theirs: list[str], data: DatasetManifest) -> str:
    """What makes labels match that are numbers on either side."""
    model_has_none = all(_UNNAMED.fullmatch(label) for label in theirs)
    data_has_none = all(_INTEGER.fullmatch(label) for label in data.labels)
    of_model = "the teacher with 'labels', a JSON list of the names of its outputs in their order"
    of_data = "the data set with 'labels', the names in the order of its integers"
    if model_has_none and data_has_none:
        return f"Give both names: register {of_model}; and {of_data}."
    if model_has_none:
        return f"Its outputs have no names: register {of_model}."
    if data_has_none:
        return f"Integers are not matched with names: register {of_data}."
    return "Register a data set with labels that the teacher knows, or fine-tune it on this one."


def require_mixable(
    small: ModelManifest,
    teacher: ModelManifest,
    data: DatasetManifest,
    *,
    labels: list[str],
    activation: Activation | None,
    pointer: str,
) -> None:
    """Refuse a small model that cannot be mixed with what is made of the teacher, weight by weight.

    ``labels`` and ``activation`` are the job's: the small model's labels may be in another order.

    Raises:
        InvalidRequest: it is of another family, or has other tables or another head.
    """
    if not small.is_bare:
        require_same_task("small model", small, data, pointer=pointer)
        _require_same_labels(small, labels, pointer=pointer)
        if small.activation != activation:
            raise InvalidRequest(
                "incompatible_small_model",
                f"The small model's output goes through {small.activation or 'no activation'}, the student's "
                f"through {activation or 'none'}. Use a small model that was made of this teacher, or one "
                "without a head.",
                pointer=pointer,
            )
    details = teacher.architecture.record.details
    for name in ("family", "vocabulary", "positions", "token_types", "projected_embedding", *details):
        ours, theirs = (_fact(model.architecture, name) for model in (small, teacher))
        if ours != theirs:
            raise InvalidRequest(
                "incompatible_small_model",
                f"The small model's {name} is {ours}, the teacher's {theirs}. Gating needs two models of "
                "the same family with the same tokenizer and, where it is projected, embedding size.",
                pointer=pointer,
            )
    if isinstance(small.architecture, EncoderArchitecture) and small.architecture.schedule is not None:
        raise InvalidRequest(
            "incompatible_small_model",
            "The small model shares layers (as students of pea_kd do); gating needs separate weights for "
            "each layer. Use a small model without shared layers.",
            pointer=pointer,
        )


def _require_same_labels(small: ModelManifest, labels: list[str], *, pointer: str) -> None:
    theirs = small.labels or []
    if set(theirs) != set(labels):
        raise InvalidRequest(
            "label_mismatch",
            f"The small model has the labels {_some(theirs)}; the student will have {_some(labels)}. Gating "
            "needs a small model with the same labels, in any order, or one without a head.",
            pointer=pointer,
            model_labels=theirs,
            student_labels=labels,
        )


def _with_labels(count: int) -> str:
    return f" with {count} labels" if count else ""


def _fact(architecture: Architecture, name: str) -> object:
    return getattr(architecture, name, architecture.sizes.get(name))


def _listed(names: list[Task] | list[SizeConstraint] | list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _some(labels: list[str], *, shown: int = 10) -> str:
    more = f" and {len(labels) - shown} more" if len(labels) > shown else ""
    return f"[{', '.join(labels[:shown])}{more}]"
