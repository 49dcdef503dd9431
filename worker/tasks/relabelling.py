"""Columns of a split from the labels of its data set to those of a network, matched by name.

Shapes: W words of a row, or 1 where it is a text; C labels of the data set; D of the network.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from app.domain.job_labels import label_mapping
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import TEACHER_SCORES
from worker.contracts import FloatArray
from worker.tasks.teacher_scores import NEVER, certain


def relabelled(
    columns: Mapping[str, list[Any]], task: Task, *, given: Sequence[str], wanted: Sequence[str]
) -> dict[str, list[Any]]:
    """The same columns with targets and teachers' scores of other labels.

    Args:
        columns: of a canonical split, with averaged scores.
        task: of the data set.
        given: its labels.
        wanted: the network's, which know all of these.
    """
    mapping = label_mapping(task, given, wanted)
    if mapping is None:
        return dict(columns)
    of_scores = _score_mapping(task, mapping, given, wanted)
    changes: dict[str | None, Callable[[Any], Any]] = {
        TASKS[task].columns.target: mapping,
        TEACHER_SCORES: lambda scores: None if scores is None else of_scores(scores),
    }
    return {
        name: [changes[name](value) for value in values] if name in changes else values
        for name, values in columns.items()
    }


def _score_mapping(
    task: Task, mapping: Callable[[Any], Any], given: Sequence[str], wanted: Sequence[str]
) -> Callable[[FloatArray], FloatArray]:
    """What brings logits (W, C) to (W, D); a label that the data set has not is one that never applies."""
    if TASKS[task].answering == "token" and set(given) != set(wanted):  # tags of another scheme
        return lambda logits: certain(np.asarray(mapping(logits.argmax(axis=1).tolist())), len(wanted))
    index = [wanted.index(label) for label in given]

    def moved(logits: FloatArray) -> FloatArray:
        found = np.full((len(logits), len(wanted)), NEVER, np.float32)
        if TASKS[task].scoring != "per_label":
            found += logits.max(axis=1, keepdims=True)
        found[:, index] = logits
        return found

    return moved
