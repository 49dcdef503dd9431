"""How good predictions are, as pure functions over arrays.

Shapes: N examples, P positions of a split, C classes.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from app.domain.tasks import Task
from worker.contracts import IntArray, TokenizedSplit
from worker.evaluation.entity_f1 import span_f1

FloatArray = npt.NDArray[np.float32]


MAIN_METRIC: dict[Task, str] = {
    "text_classification": "accuracy",
    "text_regression": "spearman",
    "token_classification": "f1",
    "masked_language_modeling": "accuracy",
    "translation": "bleu",
}
"""By which a teacher and its student are compared; higher is better."""


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


def pearson(one: FloatArray, other: FloatArray) -> float:
    """Linear correlation of (N,) and (N,), in [-1, 1]; 0 where either is constant."""
    x, y = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (one, other))
    spread = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / spread) if spread > 0 else 0.0


def spearman(one: FloatArray, other: FloatArray) -> float:
    """Correlation of the ranks of (N,) and (N,), ties sharing their mean rank, in [-1, 1]."""
    return pearson(_ranks(one), _ranks(other))


def _ranks(values: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[inverse].astype(np.float32)
    return ranks


def classification_metrics(split: TokenizedSplit, logits: FloatArray, _labels: list[str]) -> dict[str, float]:
    """Every metric of a classification task, from logits (N, C)."""
    truth, predictions, classes = _truth(split), logits.argmax(axis=1), logits.shape[1]
    return {
        "accuracy": accuracy(truth, predictions),
        "macro_f1": macro_f1(truth, predictions, classes),
        "matthews": matthews(truth, predictions, classes),
    }


def regression_metrics(split: TokenizedSplit, outputs: FloatArray, _labels: list[str]) -> dict[str, float]:
    """Every metric of a regression task, from outputs (N, 1)."""
    assert split.labels is not None
    scores, predictions = split.labels.astype(np.float32), outputs[:, 0]
    return {
        "spearman": spearman(scores, predictions),
        "pearson": pearson(scores, predictions),
        "mse": float(np.mean((scores.astype(np.float64) - predictions) ** 2)),
    }


def tagging_metrics(split: TokenizedSplit, logits: FloatArray, labels: list[str]) -> dict[str, float]:
    """Of named entities, from logits (P, C) of each word: seqeval's span F1, and each language's own."""
    truth, predictions, offsets = _truth(split), logits.argmax(axis=1), split.position_offsets
    found = span_f1(truth, predictions, offsets, labels=labels)
    languages = split.languages or []
    for language in sorted(set(languages)):
        rows = np.flatnonzero(np.asarray(languages) == language)
        found[f"f1_{language}"] = span_f1(truth, predictions, offsets, labels=labels, rows=rows)["f1"]
    return {**found, "accuracy": accuracy(truth, predictions)}


def _truth(split: TokenizedSplit) -> IntArray:
    assert split.labels is not None
    return split.labels.astype(np.int64)


METRICS: dict[Task, Callable[[TokenizedSplit, FloatArray, list[str]], dict[str, float]]] = {
    "text_classification": classification_metrics,
    "text_regression": regression_metrics,
    "token_classification": tagging_metrics,
}
"""From logits at the positions of a split. Words and translations are measured elsewhere, in passing."""


def trivial_baseline(task: Task, split: TokenizedSplit) -> float:
    """The main metric of answering without looking: the most frequent label, or nothing at all."""
    if task == "text_classification":
        labels = _truth(split)
        return float(np.bincount(labels).max() / len(labels))
    if task == "masked_language_modeling":
        return float(np.unique(_truth(split), return_counts=True)[1].max() / len(_truth(split)))
    return 0.0
