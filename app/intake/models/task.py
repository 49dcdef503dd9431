"""What a model is for: its head and its config, taken together."""

import re
from dataclasses import dataclass
from typing import Any

from app.domain.architectures import Architecture
from app.domain.errors import InvalidRequest
from app.domain.tag_schemes import read_scheme
from app.domain.tasks import TASKS, Head, Task, activation_keys
from app.domain.tasks.record import Activation
from app.intake.models.heads import FoundHead
from app.intake.models.model_config import MAX_LABELS, ModelConfig, labels_of

_SINGLE_LABEL, _REGRESSION = "single_label_classification", "regression"
_MULTI_LABEL = "multi_label_classification"
_SIGMOID, _IDENTITY = "Sigmoid", "Identity"
_SHOWN = 10
_UNNAMED = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Purpose:
    """What a model is for."""

    task: Task | None
    """None for an encoder without a head."""
    labels: list[str] | None = None
    """Names of the outputs that it chooses among."""
    activation: Activation | None = None
    """What its one output goes through."""
    notes: tuple[str, ...] = ()
    """What was assumed, a sentence each."""


def read_task(config: ModelConfig, head: FoundHead | None, given: list[str] | None = None) -> Purpose:
    """What the head is for.

    Args:
        config: which may name the problem, the labels and the activation.
        head: among the weights; None: there is none.
        given: names of the outputs that came with the upload, in place of the config's.

    Raises:
        InvalidRequest: the head is for something else, or its labels are not what the task needs.
    """
    if head is None:
        _require_no_names(given, "an encoder without a head")
        return Purpose(config.architecture.record.task)
    if config.network.endswith("ForMultipleChoice"):  # its one output is no number to be read by itself
        raise _unsupported(f"config.json names the class {config.network[:80]!r}")
    task = _task_of(config, head)
    record = TASKS[task]
    if record.outputs == "number":
        _require_no_names(given, "a regression model with one output")
        return _number(task, config)
    if not record.has_labels:
        _require_no_names(given, f"a model for {task}")
        return Purpose(task)
    labels = _labels(config, head, given)
    if head.kind == "token":
        _require_entity_tags(labels)
    notes = _label_notes(config, labels, given)
    if record.names_problem_type and config.problem_type is None:
        notes = (*notes, "Each label is decided by itself, for config.json names a sigmoid as activation.")
    return Purpose(task, labels, notes=notes)


def embedding_purpose(given: list[str] | None) -> Purpose:
    """Of a model whose modules make vectors of texts, whatever head may lie on its network.

    Raises:
        InvalidRequest: names of outputs came with it.
    """
    _require_no_names(given, "a model for sentence_embedding")
    return Purpose("sentence_embedding")


def task_keys(architecture: Architecture, purpose: Purpose) -> dict[str, Any]:
    """What a config says of the task, and of the class that reads it."""
    keys: dict[str, Any] = {}
    task, labels = purpose.task, purpose.labels
    record = None if task is None else TASKS[task]
    if network := architecture.class_name(None if record is None else record.head):
        keys["architectures"] = [network]
    if record is not None and record.outputs == "number":
        labels = ["LABEL_0"]
        keys |= activation_keys(purpose.activation)
    elif record is not None and record.names_problem_type:
        keys["problem_type"] = record.problem_type
    if labels is not None:
        keys["id2label"] = {str(index): label for index, label in enumerate(labels)}
        keys["label2id"] = {label: index for index, label in enumerate(labels)}
    return keys


def _task_of(config: ModelConfig, head: FoundHead) -> Task:
    """The one task of such heads, or that of several which the config's problem type names."""
    tasks = {record.problem_type: task for task, record in TASKS.items() if record.head == head.kind}
    if len(tasks) == 1:
        only = next(iter(tasks.values()))
        if TASKS[only].outputs == "span" and head.outputs != Head.of(only, labels=0, vocabulary=0).outputs:
            raise _unsupported(f"The head for {only} has {head.outputs} outputs, not 2")
        return only
    problem = config.problem_type or (_MULTI_LABEL if _is(_SIGMOID, config) else _SINGLE_LABEL)
    if head.outputs == 1 and problem in (_SINGLE_LABEL, _MULTI_LABEL):
        problem = _REGRESSION
    task = tasks.get(problem)
    if task is not None and TASKS[task].has_labels == (head.outputs > 1):
        return task
    raise _unsupported(
        f"The head has {head.outputs} outputs and config.json has problem_type {problem[:50]!r}"
    )


def _number(task: Task, config: ModelConfig) -> Purpose:
    """Of one output: as sentence-transformers and the pipelines of transformers read it."""
    if _is(_SIGMOID, config):
        return Purpose(task, activation="sigmoid")
    if _is(_IDENTITY, config):
        return Purpose(task)
    if config.activation is not None:
        raise _unsupported(
            f"config.json names the activation {config.activation[:80]!r}, not Sigmoid or Identity, and the "
            "head has one output"
        )
    if config.problem_type == _REGRESSION:
        return Purpose(task)
    assumed = (
        "The model has one output, and config.json does not name problem_type regression: answers go through "
        "a sigmoid, from 0 to 1, as those of CrossEncoder and of transformers' pipeline do. Set problem_type "
        'to "regression" if the output is the answer itself.'
    )
    return Purpose(task, activation="sigmoid", notes=(assumed,))


def _is(activation: str, config: ModelConfig) -> bool:
    return config.activation is not None and config.activation.rpartition(".")[2] == activation


def _labels(config: ModelConfig, head: FoundHead, given: list[str] | None) -> list[str]:
    if head.outputs > MAX_LABELS:
        raise _unsupported(f"The classifier has {head.outputs:,} outputs, more than {MAX_LABELS:,}")
    if given is not None:
        if len(given) != head.outputs:
            raise InvalidRequest(
                "invalid_labels",
                f"'labels' names {len(given)} outputs, but the classifier has {head.outputs}. Name each "
                "output, in their order.",
                pointer="#/labels",
            )
        return given
    labels = labels_of(config) or [f"LABEL_{index}" for index in range(head.outputs)]
    if len(labels) != head.outputs:
        raise InvalidRequest(
            "weights_config_mismatch",
            f"config.json has {len(labels)} labels, but the classifier has {head.outputs} outputs. Set "
            "id2label with a name for each output, or send 'labels' with the upload.",
        )
    return labels


def _label_notes(config: ModelConfig, labels: list[str], given: list[str] | None) -> tuple[str, ...]:
    if given is None:
        if all(_UNNAMED.fullmatch(label) for label in labels):
            unnamed = (
                "The outputs have no names. Labels of data sets are matched by name: register the model with "
                "'labels' to use it as a teacher."
            )
            return (unnamed,)
        return ()
    before = config.id2label if isinstance(config.id2label, dict) else {}
    named = (f"{before.get(str(index), index)} is {label}" for index, label in enumerate(labels[:_SHOWN]))
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return (f"The outputs are named by 'labels': {', '.join(named)}{more}.",)


def _require_no_names(given: list[str] | None, what: str) -> None:
    if given is not None:
        raise InvalidRequest(
            "labels_not_allowed",
            f"'labels' names outputs of a classifier, but this is {what}. Omit 'labels'.",
            pointer="#/labels",
        )


def _require_entity_tags(tags: list[str]) -> None:
    """Refuse labels of tokens that are no tags of named entities, in whatever scheme and order."""
    scheme = read_scheme(tags, are_named=True)
    strange = next((tag for tag, meaning in scheme.meanings.items() if meaning is None), None)
    inside = [tag for tag, meaning in scheme.meanings.items() if meaning and meaning.kind is not None]
    are_named = not any(_UNNAMED.fullmatch(tag) for tag in inside)
    if strange is None and inside and len(inside) == len(tags) - 1 and are_named and not scheme.doubts:
        return
    what = f"has the tag {strange!r}" if strange else f"has the tags {', '.join(tags[:5])}"
    raise InvalidRequest(
        "unsupported_tags",
        f"The model classifies tokens and {what}; only tags of named entities are supported. Name every "
        "output in id2label of config.json, or in 'labels' with the upload: O for tokens outside entities, "
        "and for entities of type PER B-PER and I-PER, or those of IO, IOB, BIOES, BILOU or BMES. Or upload "
        "the encoder without the head.",
        tags=tags,
    )


def _unsupported(what: str) -> InvalidRequest:
    return InvalidRequest(
        "unsupported_head",
        f"{what}; supported are classification with two outputs or more and regression with one. Upload the "
        "encoder without the head.",
    )
