"""How a model does on each label by itself, and which labels it takes for which.

Shapes: N rows, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.domain.documents.comparison import ClassScore, Confusion
from app.domain.entity_spans import Tagging
from worker.contracts import FloatArray, IntArray, TaskData, TokenizedSplit
from worker.evaluation.row_answers import passing, spans_of_rows, true_labels
from worker.tasks.implementation import Thresholds
from worker.tasks.metrics import confusion_matrix, label_indices

Shares = npt.NDArray[np.float64]

_MOST_LABELS: Final = 30
"""Of a confusion matrix that is shown."""


@dataclass(frozen=True)
class LabelCounts:
    """Of each label: how often it is there, is named, and both; (C,) each."""

    labels: Sequence[str]
    hits: IntArray
    named: IntArray
    there: IntArray

    @property
    def precision(self) -> Shares:
        """0 where it is never named."""
        return np.divide(self.hits, np.maximum(1, self.named), dtype=np.float64)

    @property
    def recall(self) -> Shares:
        """0 where it is never there."""
        return np.divide(self.hits, np.maximum(1, self.there), dtype=np.float64)


def label_counts(
    split: TokenizedSplit, logits: FloatArray, data: TaskData, *, thresholds: Thresholds
) -> LabelCounts | None:
    """By label or, of named entities, by kind; None for tasks without labels."""
    match data.task:
        case "text_classification":
            cells = confusion_matrix(label_indices(split), logits.argmax(axis=1), len(data.labels))
            return LabelCounts(data.labels, cells.diagonal(), cells.sum(axis=0), cells.sum(axis=1))
        case "multi_label_classification":
            truth, passes = true_labels(split), passing(logits, thresholds)
            return LabelCounts(
                data.labels, (truth & passes).sum(axis=0), passes.sum(axis=0), truth.sum(axis=0)
            )
        case "token_classification":
            return _entity_counts(split, logits, data.labels)
        case _:
            return None


def class_scores(student: LabelCounts, teacher: LabelCounts | None) -> list[ClassScore]:
    """Of the student, most frequent label first; labels that are neither there nor named are left out."""
    shown = np.argsort(-student.there, kind="stable")
    shown = shown[(student.there + student.named)[shown] > 0]
    precision, recall = student.precision, student.recall
    scores = []
    for i in shown:
        score = ClassScore(
            label=student.labels[i],
            rows=int(student.there[i]),
            precision=float(precision[i]),
            recall=float(recall[i]),
        )
        if teacher is not None:
            score.precision_delta = float(precision[i] - teacher.precision[i])
            score.recall_delta = float(recall[i] - teacher.recall[i])
        scores.append(score)
    return scores


def confusion(split: TokenizedSplit, logits: FloatArray, data: TaskData) -> Confusion | None:
    """Of one label a text; of many labels those that are most often taken for another or another for them."""
    if data.task != "text_classification":
        return None
    cells = confusion_matrix(label_indices(split), logits.argmax(axis=1), len(data.labels))
    errors = cells - np.diag(cells.diagonal())
    order = np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:_MOST_LABELS]
    shown = np.sort(order)
    return Confusion(
        labels=[data.labels[i] for i in shown],
        counts=cells[np.ix_(shown, shown)].tolist(),
        of=len(data.labels),
    )


def _entity_counts(split: TokenizedSplit, logits: FloatArray, labels: Sequence[str]) -> LabelCounts:
    there = spans_of_rows(label_indices(split), split, labels)
    found = spans_of_rows(logits.argmax(axis=1), split, labels)
    kinds = Tagging(labels).kinds
    counts = np.zeros((3, len(kinds)), np.int64)
    for true, ours in zip(there, found, strict=True):
        for part, spans in zip(counts, (true & ours, ours, true), strict=True):
            for span in spans:
                part[kinds.index(span.kind)] += 1
    return LabelCounts(kinds, *counts)
