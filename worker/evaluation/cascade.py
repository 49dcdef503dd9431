"""Which of a student's answers can be trusted, so that its teacher is asked for the others alone."""

import numpy as np

from app.domain.documents.cascade import Cascade, CascadePoint
from worker.contracts import FloatArray, TaskData, TokenizedSplit
from worker.evaluation.quality import main_metric

_SHARES = 25
_NEVER = 1.01
"""Above every probability."""


def measure_cascade(
    student: FloatArray, teacher: FloatArray, split: TokenizedSplit, data: TaskData
) -> Cascade:
    """What both come to together, by how sure the student has to be.

    Args:
        student: its logits (N, C) of the split's N texts.
        teacher: likewise the teacher's, for the same C labels.
        split: labelled.
        data: whose task it is.
    """
    exponentials = np.exp(student - student.max(axis=1, keepdims=True))
    confidence = (exponentials / exponentials.sum(axis=1, keepdims=True)).max(axis=1)
    points = []
    for threshold in [*_thresholds(confidence), _NEVER]:
        is_sure = confidence >= threshold
        together = np.where(is_sure[:, None], student, teacher)
        metric = main_metric(split, together, data)
        points.append(CascadePoint(threshold=threshold, share=float(is_sure.mean()), metric=metric))
    return Cascade(teacher_metric=points[-1].metric, points=points)


def _thresholds(confidence: FloatArray) -> list[float]:
    """From below all to below the last, halfway between neighbours: how they are rounded decides nothing."""
    values = np.unique(confidence.astype(np.float64))
    below = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    chosen: list[float] = below[np.unique(np.linspace(0, len(below) - 1, _SHARES).astype(int))].tolist()
    return chosen
