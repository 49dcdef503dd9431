"""How a student and its teacher answer together."""

import numpy as np
import pytest

from tests.worker.compression import make_data
from worker.data.batches import subset
from worker.evaluation.cascade import measure_cascade
from worker.evaluation.quality import main_metric


def logits_of(labels: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Logits whose best label is the right one where the margin is positive."""
    logits = np.zeros((len(labels), 2), np.float32)
    logits[np.arange(len(labels)), labels] = margins
    return logits


def test_the_teacher_is_asked_where_the_student_is_not_sure() -> None:
    data = make_data("text_classification")
    split = data.dev
    labels, texts = split.labels, len(split)
    assert labels is not None
    # The surer it is, the more often it is right; the teacher errs in one text of eight.
    margins = np.linspace(-0.5, 2, texts).astype(np.float32)
    student = logits_of(labels, margins)
    teacher = logits_of(labels, np.where(np.arange(texts) % 8 == 7, -9.0, 9.0).astype(np.float32))
    cascade = measure_cascade(student, teacher, split, data)

    first, last = cascade.points[0], cascade.points[-1]
    assert (first.share, first.metric) == (1, main_metric(split, student, data))
    assert (last.share, last.metric) == (0, main_metric(split, teacher, data))
    assert cascade.teacher_metric == last.metric
    shares = [point.share for point in cascade.points]
    assert shares == sorted(shares, reverse=True)

    probabilities = np.exp(student) / np.exp(student).sum(axis=1, keepdims=True)
    for retain in (0.9, 1.0):
        threshold = cascade.threshold(retain)
        is_sure = probabilities.max(axis=1) >= threshold
        answers = np.where(is_sure[:, None], student, teacher).argmax(axis=1)
        assert (answers == labels).mean() >= retain * cascade.teacher_metric
        assert is_sure.mean() == pytest.approx(
            next(point.share for point in cascade.points if point.threshold == threshold)
        )
    assert 0 <= cascade.threshold(0.9) < cascade.threshold(1.0) <= last.threshold


def test_a_student_that_is_never_right_never_answers() -> None:
    data = make_data("text_classification")
    split = subset(data.dev, np.arange(16))
    assert split.labels is not None
    wrong = logits_of(split.labels, np.full(16, -3.0, np.float32))
    cascade = measure_cascade(wrong, -wrong, split, data)
    assert cascade.threshold(0.99) > 1
    assert cascade.threshold(1e-9) == cascade.points[-1].threshold
