"""How good predictions are, as pure functions over arrays.

Shapes: N examples, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.tasks import Task
from worker.contracts import IntArray

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Metric:
    """The one number that a task is judged by."""

    name: str
    higher_is_better: bool


MAIN_METRIC: dict[Task, Metric] = {"text_classification": Metric("accuracy", higher_is_better=True)}


def accuracy(labels: IntArray, predictions: IntArray) -> float:
    """Share of examples that got their label, in [0, 1]; both arrays are (N,)."""
    return float(np.mean(labels == predictions))


def macro_f1(labels: IntArray, predictions: IntArray, classes: int) -> float:
    """Mean F1 over the classes that occur among labels or predictions, in [0, 1]."""
    confusion = confusion_matrix(labels, predictions, classes)
    hits = confusion.diagonal()
    occurrences = confusion.sum(axis=0) + confusion.sum(axis=1)  # (C,)
    present = occurrences > 0
    return float(np.mean(2 * hits[present] / occurrences[present]))


def matthews(labels: IntArray, predictions: IntArray, classes: int) -> float:
    """Correlation of labels and predictions for any number of classes (Gorodkin, 2004), in [-1, 1].

    0 where either holds one class only, and the coefficient has no value.
    """
    confusion = confusion_matrix(labels, predictions, classes).astype(np.float64)
    total, hits = confusion.sum(), confusion.trace()
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)  # (C,)
    spread = (total**2 - true @ true) * (total**2 - predicted @ predicted)
    return float((hits * total - true @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


def confusion_matrix(labels: IntArray, predictions: IntArray, classes: int) -> IntArray:
    """(C, C) counts: rows are labels, columns predictions."""
    cells = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return cells.reshape(classes, classes)


def classification_metrics(labels: IntArray, logits: FloatArray) -> dict[str, float]:
    """Every metric of a classification task, from logits (N, C)."""
    predictions, classes = logits.argmax(axis=1), logits.shape[1]
    return {
        "accuracy": accuracy(labels, predictions),
        "macro_f1": macro_f1(labels, predictions, classes),
        "matthews": matthews(labels, predictions, classes),
    }


METRICS: dict[Task, Callable[[IntArray, FloatArray], dict[str, float]]] = {
    "text_classification": classification_metrics
}


def majority_baseline(labels: IntArray) -> float:
    """Accuracy of always giving the most frequent label."""
    return float(np.bincount(labels).max() / len(labels))
