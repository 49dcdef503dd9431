"""How good predictions are, as pure functions over arrays.

Shapes: N examples, P positions of a split, C classes.
"""

import numpy as np

from worker.contracts import FloatArray, IntArray, TokenizedSplit


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


def f1(labels: IntArray, predictions: IntArray) -> float:
    """F1 of the second of two classes, in [0, 1]; 0 where it is neither there nor predicted."""
    hits = np.count_nonzero((labels == 1) & (predictions == 1))
    occurrences = np.count_nonzero(labels == 1) + np.count_nonzero(predictions == 1)
    return 2 * hits / occurrences if occurrences else 0.0


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


def label_indices(split: TokenizedSplit) -> IntArray:
    """(P,)."""
    assert split.labels is not None
    return split.labels.astype(np.int64)


def most_frequent_share(split: TokenizedSplit) -> float:
    """Accuracy of always answering the most frequent label or token."""
    labels = label_indices(split)
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def nothing_right(_split: TokenizedSplit) -> float:
    """Of metrics that are 0 for whoever answers always alike."""
    return 0.0
