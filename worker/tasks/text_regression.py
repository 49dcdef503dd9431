from dataclasses import replace

import numpy as np

from worker.contracts import FloatArray, TokenizedSplit
from worker.tasks.agreement import same_side_of_median
from worker.tasks.encoding import texts_with
from worker.tasks.implementation import AnswerLoss, TaskImplementation, Thresholds
from worker.tasks.losses import squared_difference, squared_error
from worker.tasks.metrics import nothing_right, pearson, spearman
from worker.tasks.multi_label_classification import binary_cross_entropy, probabilities, soft_labels_loss


def regression_metrics(
    split: TokenizedSplit, outputs: FloatArray, _labels: list[str], _thresholds: Thresholds, /
) -> dict[str, float]:
    """From outputs (N, 1)."""
    assert split.labels is not None
    scores, predictions = split.labels.astype(np.float32), outputs[:, 0]
    return {
        "spearman": spearman(scores, predictions),
        "pearson": pearson(scores, predictions),
        "mse": float(np.mean((scores.astype(np.float64) - predictions) ** 2)),
    }


def through_sigmoid(
    split: TokenizedSplit, outputs: FloatArray, labels: list[str], thresholds: Thresholds, /
) -> dict[str, float]:
    """Likewise, of answers from 0 to 1."""
    return regression_metrics(split, probabilities(outputs), labels, thresholds)


def _binary_cross_entropy(_smoothing: float) -> AnswerLoss:
    decide = binary_cross_entropy(0.0)
    return lambda outputs, scores: decide(outputs, scores[:, None])


IMPLEMENTATION = TaskImplementation(
    encode=texts_with("score", lambda values, _labels: np.asarray(values, np.float32)),
    answer_loss=lambda _smoothing: squared_error,
    soft_loss=squared_difference,
    metrics=regression_metrics,
    baseline=nothing_right,
    agreement=same_side_of_median,
)

SIGMOID_IMPLEMENTATION = replace(
    IMPLEMENTATION,
    answer_loss=_binary_cross_entropy,
    soft_loss=soft_labels_loss,
    metrics=through_sigmoid,
)
"""Of an output that goes through a sigmoid, so that scores are probabilities."""
