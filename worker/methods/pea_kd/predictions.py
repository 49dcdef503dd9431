"""What a teacher's predictions teach: is it right, and is it sure (PTP; Cho and Kang, 2022)?

Shapes: N rows, C classes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.contracts import IntArray

CLASSES = 4
"""Surely right, unsurely right, surely wrong, unsurely wrong."""

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Thresholds:
    """Confidence above which a teacher counts as sure."""

    right: float
    wrong: float

    @classmethod
    def medians(cls, logits: Logits, labels: IntArray) -> "Thresholds":
        """The median confidences where it is right and where it is wrong.

        One that is never wrong, or never right, has one threshold for both.
        """
        sure, right = _confidence(logits), logits.argmax(1) == labels
        both = float(np.median(sure))
        return cls(
            right=float(np.median(sure[right])) if right.any() else both,
            wrong=float(np.median(sure[~right])) if not right.all() else both,
        )


def judge(logits: Logits, labels: IntArray, thresholds: Thresholds) -> IntArray:
    """The class of each row, (N,), of a teacher's logits (N, C)."""
    sure, right = _confidence(logits), logits.argmax(1) == labels
    is_sure = sure > np.where(right, thresholds.right, thresholds.wrong)
    judged: IntArray = np.where(right, 0, 2) + np.where(is_sure, 0, 1)
    return judged


def _confidence(logits: Logits) -> npt.NDArray[np.float64]:
    """The largest probability of each row."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    confidence: npt.NDArray[np.float64] = 1 / np.exp(shifted).sum(1)
    return confidence
