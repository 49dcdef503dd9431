"""What a model is for: its head and its config, taken together."""

import re
from typing import Any

from app.domain.architectures import Architecture
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS, Task
from app.intake.models.heads import FoundHead
from app.intake.models.model_config import MAX_LABELS, ModelConfig, labels_of

_SINGLE_LABEL, _REGRESSION = "single_label_classification", "regression"
_OUTSIDE = "O"
_ENTITY_TAG = re.compile(r"[BI]-.+")


def read_task(config: ModelConfig, head: FoundHead | None) -> tuple[Task | None, list[str] | None]:
    """The task and, where it chooses among labels, their names.

    Raises:
        InvalidRequest: the head is for something else, or its labels are not what the task needs.
    """
    if head is None:
        return config.architecture.record.task, None
    if config.network.endswith("ForMultipleChoice"):  # its one output is no number to be read by itself
        raise _unsupported(f"config.json names the class {config.network[:80]!r}")
    task = _task_of(config, head)
    labels = _labels(config, head) if TASKS[task].has_labels else None
    if labels is not None and head.kind == "token":
        _require_entity_tags(labels)
    return task, labels


def task_keys(architecture: Architecture, task: Task | None, labels: list[str] | None) -> dict[str, Any]:
    """What a config says of the task, and of the class that reads it."""
    keys: dict[str, Any] = {}
    record = None if task is None else TASKS[task]
    if network := architecture.class_name(None if record is None else record.head):
        keys["architectures"] = [network]
    if record is not None and record.names_problem_type:
        keys["problem_type"] = record.problem_type
    if record is not None and record.outputs == "number":
        labels = ["LABEL_0"]
    if labels is not None:
        keys["id2label"] = {str(index): label for index, label in enumerate(labels)}
        keys["label2id"] = {label: index for index, label in enumerate(labels)}
    return keys


def _task_of(config: ModelConfig, head: FoundHead) -> Task:
    """The one task of such heads, or that of several which the config's problem type names."""
    tasks = {record.problem_type: task for task, record in TASKS.items() if record.head == head.kind}
    if len(tasks) == 1:
        return next(iter(tasks.values()))
    problem = config.problem_type or _SINGLE_LABEL
    if head.outputs == 1 and problem == _SINGLE_LABEL:
        problem = _REGRESSION
    task = tasks.get(problem)
    if task is not None and TASKS[task].has_labels == (head.outputs > 1):
        return task
    raise _unsupported(
        f"The head has {head.outputs} outputs and config.json has problem_type {problem[:50]!r}"
    )


def _labels(config: ModelConfig, head: FoundHead) -> list[str]:
    if head.outputs > MAX_LABELS:
        raise _unsupported(f"The classifier has {head.outputs:,} outputs, more than {MAX_LABELS:,}")
    labels = labels_of(config) or [f"LABEL_{index}" for index in range(head.outputs)]
    if len(labels) != head.outputs:
        raise InvalidRequest(
            "weights_config_mismatch",
            f"config.json has {len(labels)} labels, but the classifier has {head.outputs} outputs. Set "
            "id2label with a name for each output.",
        )
    return labels


def _require_entity_tags(tags: list[str]) -> None:
    others = [tag for tag in tags if tag != _OUTSIDE]
    strange = [tag for tag in others if not _ENTITY_TAG.fullmatch(tag)]
    if strange or not others or len(others) == len(tags):
        what = f"has the tag {strange[0]!r}" if strange else f"has the tags {', '.join(tags[:5])}"
        raise InvalidRequest(
            "unsupported_tags",
            f"The model classifies tokens and {what}; only named-entity tags in IOB2 are supported. Name "
            "every output in id2label: O for tokens outside entities, B-PER for the first and I-PER for "
            "further tokens of an entity of type PER, and so on. Or upload the encoder without the head.",
            tags=tags,
        )


def _unsupported(what: str) -> InvalidRequest:
    return InvalidRequest(
        "unsupported_head",
        f"{what}; supported are classification with two outputs or more and regression with one. Upload the "
        "encoder without the head.",
    )
