"""Logistic regression by scikit-learn, as weights of a linear layer.

Shapes: R rows, N terms, C outputs.
"""

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from worker.contracts import FloatArray, IntArray, LabelArray

_MOST_ITERATIONS = 1_000


def fit(
    features: sparse.csr_matrix, labels: LabelArray, *, outputs: int, inverse_regularisation: float
) -> tuple[FloatArray, FloatArray]:
    """Weights (C, N) and biases (C,) of outputs that go through a softmax, or each through a sigmoid.

    Args:
        features: (R, N).
        labels: indices (R,), or (R, C) of 0 and 1 where each label is decided by itself.
        outputs: C; some may not occur.
        inverse_regularisation: what a unit of the loss counts beside half the sum of squared weights.
    """
    if labels.ndim == 1:
        return _one_of_many(features, labels.astype(np.int64), outputs, inverse_regularisation)
    each = [_yes_or_no(features, column.astype(np.int64), inverse_regularisation) for column in labels.T]
    return np.stack([weights for weights, _ in each]), np.array([bias for _, bias in each], np.float32)


def _one_of_many(
    features: sparse.csr_matrix, labels: IntArray, outputs: int, inverse_regularisation: float
) -> tuple[FloatArray, FloatArray]:
    """A label that does not occur gets the bias of one that would be found once among as many rows again."""
    weights = np.zeros((outputs, features.shape[1]), np.float32)
    biases = np.full(outputs, -np.log(len(labels) + 1), np.float32)
    present = np.unique(labels)
    if len(present) == 1:
        biases[present] = 0
    elif len(present) == 2:
        [first, second] = present
        weights[second], biases[second] = _yes_or_no(
            features, (labels == second).astype(np.int64), inverse_regularisation
        )
        weights[second] /= 2
        biases[second] /= 2
        weights[first], biases[first] = -weights[second], -biases[second]
    else:
        found = _regression(inverse_regularisation).fit(features, labels)
        weights[present], biases[present] = found.coef_, found.intercept_
    return weights, biases


def _yes_or_no(
    features: sparse.csr_matrix, answers: IntArray, inverse_regularisation: float
) -> tuple[FloatArray, float]:
    yes = int(answers.sum())
    if yes in {0, len(answers)}:
        return np.zeros(features.shape[1], np.float32), float(np.log((yes + 1) / (len(answers) - yes + 1)))
    found = _regression(inverse_regularisation).fit(features, answers)
    return found.coef_[0].astype(np.float32), float(found.intercept_[0])


def _regression(inverse_regularisation: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_regularisation, max_iter=_MOST_ITERATIONS)
