"""From logits to probabilities."""

import numpy as np
import numpy.typing as npt


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Over the last axis, in double precision: scores of an answer are to sum to one."""
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = odds / odds.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Of each logit by itself."""
    probabilities: npt.NDArray[np.float64] = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return probabilities
