"""The labels of a job: an order of labels belongs to its model, and data sets are matched by name."""

from collections.abc import Callable, Sequence
from typing import Any

from app.domain.documents.manifest import DatasetManifest, ModelManifest
from app.domain.entity_spans import Tagging
from app.domain.tasks import TASKS, Task


def job_labels(model: ModelManifest | None, data: DatasetManifest, *, needs_head: bool) -> list[str]:
    """Those of the student, in the order of its outputs.

    A head that knows just the data set's labels keeps them in its own order. Where the method needs the
    teacher's head, that may know more labels, or write its tags in another scheme.

    Args:
        model: the teacher, if there is one.
        data: what the job learns.
        needs_head: whether the method needs the teacher's head.
    """
    if model is None or model.task != data.task or model.labels is None:
        return data.labels
    if set(model.labels) == set(data.labels):
        return model.labels
    if needs_head and not unknown_labels(model.labels, data):
        return model.labels
    return data.labels


def unknown_labels(labels: Sequence[str], data: DatasetManifest) -> list[str]:
    """Labels of a data set, or its kinds of entities, that a head with these labels does not know."""
    known: Sequence[str] = labels
    needed: Sequence[str] = data.labels
    if TASKS[data.task].answering == "token":
        known, needed = Tagging(labels).kinds, Tagging(data.labels).kinds
    return [label for label in needed if label not in known]


def label_mapping(task: Task, given: Sequence[str], wanted: Sequence[str]) -> Callable[[Any], Any] | None:
    """What brings one stored target of a data set to other labels; None where they are the same.

    Args:
        task: of the data set.
        given: its labels: a target is an index into them, or a list of such.
        wanted: which know all of these; tags may be of another scheme.
    """
    if list(given) == list(wanted):
        return None
    if TASKS[task].answering == "token" and set(given) != set(wanted):
        ours, theirs = Tagging(given), Tagging(wanted)
        return lambda tags: theirs.tags(ours.spans(tags), len(tags))
    index = [wanted.index(label) for label in given]
    return lambda target: [index[i] for i in target] if isinstance(target, list) else index[target]


def told_match(labels: list[str], data: DatasetManifest) -> str | None:
    """How the labels of a data set were matched with those of a job, in a sentence; None: they are the same.

    A label that the data set has not is one that never applies.
    """
    if labels == data.labels:
        return None
    told = (
        f"The student has the teacher's labels in the teacher's order, {_some(labels)}; those of the data "
        f"set, {_some(data.labels)}, are matched with them by name."
    )
    if TASKS[data.task].answering == "token":
        if set(labels) != set(data.labels):
            told += " Its entities are tagged as the teacher tags them."
        return told
    absent = [label for label in labels if label not in data.labels]
    return f"{told} No row of it has {_some(absent)}." if absent else told


def _some(labels: Sequence[str], *, shown: int = 10) -> str:
    more = f" and {len(labels) - shown} more" if len(labels) > shown else ""
    return f"[{', '.join(labels[:shown])}{more}]"
