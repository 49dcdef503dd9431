"""What a model's logits say of a split row by row: how metrics depend on rows, and how sure answers are.

Shapes: P positions of a split, N rows, C outputs.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from app.domain.entity_spans import Span, Tagging
from app.domain.tasks import Task
from worker.contracts import FloatArray, TaskData, TokenizedSplit
from worker.evaluation.bootstrap import RankCorrelation, RowMetric, mean_of, micro_f1_of
from worker.evaluation.calibration import Reliability, reliability
from worker.tasks import IMPLEMENTATIONS
from worker.tasks.implementation import Thresholds
from worker.tasks.metrics import label_indices
from worker.tasks.multi_label_classification import probabilities
from worker.tasks.multi_label_metrics import micro_f1
from worker.tasks.question_answering import f1_of_questions
from worker.tasks.vector_metrics import pairs, unit


def row_metric(
    split: TokenizedSplit, logits: FloatArray, data: TaskData, *, thresholds: Thresholds
) -> RowMetric | None:
    """The task's main metric as a function of how often rows count; None where it is of no rows."""
    match data.task:
        case "text_classification":
            return mean_of(logits.argmax(axis=1) == label_indices(split))
        case "multi_label_classification":
            truth, passes = true_labels(split), passing(logits, thresholds)
            return micro_f1_of((truth & passes).sum(axis=1), passes.sum(axis=1), truth.sum(axis=1))
        case "token_classification":
            return _entity_f1(split, logits, data.labels)
        case "text_regression":
            assert split.labels is not None
            return RankCorrelation(split.labels, logits[:, 0])
        case "question_answering":
            return mean_of(f1_of_questions(split, logits, thresholds))
        case "sentence_embedding":
            return _similarity(split, logits)
        case _:
            return None


def agreement(
    split: TokenizedSplit,
    teacher: FloatArray,
    student: FloatArray,
    task: Task,
    *,
    teacher_thresholds: Thresholds,
    thresholds: Thresholds,
) -> float | None:
    """Share of answers that are the teacher's, in [0, 1]; of several labels a text the F1 of those named."""
    if teacher.shape != student.shape:
        return None  # vectors of another space, or rows that are cut elsewhere
    if task == "multi_label_classification":
        theirs, ours = passing(teacher, teacher_thresholds), passing(student, thresholds)
        return micro_f1(theirs, ours) if theirs.any() or ours.any() else 1.0
    return IMPLEMENTATIONS[task].agreement(teacher, student, thresholds, np.diff(split.position_offsets))


def answer_reliability(split: TokenizedSplit, logits: FloatArray, task: Task) -> Reliability | None:
    """Of the label that is chosen, or of every label that is decided by itself; None for other tasks."""
    match task:
        case "text_classification" | "token_classification":
            chosen = softmax(logits)
            return reliability(chosen.max(axis=1), logits.argmax(axis=1) == label_indices(split))
        case "multi_label_classification":
            return reliability(probabilities(logits).ravel(), true_labels(split).ravel())
        case _:
            return None


def softmax(logits: FloatArray) -> npt.NDArray[np.float64]:
    """(N, C), in double precision."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    scores: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return scores


def true_labels(split: TokenizedSplit) -> npt.NDArray[np.bool_]:
    """(N, C): which labels apply to each text."""
    assert split.labels is not None
    return split.labels > 0


def passing(logits: FloatArray, thresholds: Thresholds) -> npt.NDArray[np.bool_]:
    """(N, C): which labels a model names."""
    named: npt.NDArray[np.bool_] = probabilities(logits) >= np.asarray(thresholds)
    return named


def spans_of_rows(
    tags: npt.NDArray[Any], split: TokenizedSplit, labels: Sequence[str]
) -> list[frozenset[Span]]:
    """The entities of each sentence, from the tags (P,) of its words."""
    tagging, all_tags = Tagging(labels), tags.tolist()
    return [frozenset(tagging.spans(all_tags[begin:end])) for begin, end in pairwise(split.position_offsets)]


def _entity_f1(split: TokenizedSplit, logits: FloatArray, labels: Sequence[str]) -> RowMetric:
    there = spans_of_rows(label_indices(split), split, labels)
    found = spans_of_rows(logits.argmax(axis=1), split, labels)
    hits = [len(ours & true) for ours, true in zip(found, there, strict=True)]
    return micro_f1_of(hits, list(map(len, found)), list(map(len, there)))


def _similarity(split: TokenizedSplit, vectors: FloatArray) -> RowMetric | None:
    """Of pairs whose similarity is known; sampled pairs of texts are no rows."""
    if split.groups is None or split.labels is None:
        return None
    first, second = pairs(split.groups)
    known = np.isfinite(split.labels[first])
    units = unit(vectors)
    return RankCorrelation(split.labels[first][known], (units[first] * units[second]).sum(axis=1)[known])
