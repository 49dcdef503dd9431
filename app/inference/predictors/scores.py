"""From logits to probabilities."""

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Scores: TypeAlias = npt.NDArray[np.float64]

ScoreFunction: TypeAlias = Literal["softmax", "sigmoid", "none"]
"""What logits go through to become the scores of an answer."""


def softmax(logits: npt.NDArray[np.float32]) -> Scores:
    """Over the last axis, in double precision: scores of an answer are to sum to one."""
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    probabilities: Scores = odds / odds.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: npt.NDArray[np.float32]) -> Scores:
    """Of each logit by itself."""
    probabilities: Scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return probabilities


def unchanged(logits: npt.NDArray[np.float32]) -> Scores:
    return logits.astype(np.float64)


SCORE_FUNCTIONS: Final[Mapping[ScoreFunction, Callable[[npt.NDArray[np.float32]], Scores]]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": unchanged,
}
