"""Any number of labels a text: each is decided by itself, by a threshold that is chosen on dev.

Shapes: N texts, C labels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worker.contracts import FloatArray, IntArray, TokenizedSplit
from worker.tasks.encoding import texts_with
from worker.tasks.implementation import TaskImplementation, Thresholds
from worker.tasks.multi_label_metrics import (
    best_thresholds,
    label_ranking_average_precision,
    macro_f1,
    micro_f1,
)

_TEMPERATURE = 2.0
"""Of a choice among two, as ``default_temperature`` has it."""


def label_matrix(lists: list[Any], labels: int) -> FloatArray:
    """1 where a label applies to a text, else 0, (N, C)."""
    matrix = np.zeros((len(lists), labels), np.float32)
    for row, indices in enumerate(lists):
        matrix[row, indices] = 1
    return matrix


def binary_cross_entropy(smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Sum over labels in nats, mean over the texts whose labels are known; 0 where none is."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        known = labels.isfinite().all(dim=1)
        targets = labels[known] * (1 - smoothing) + smoothing / 2
        total = functional.binary_cross_entropy_with_logits(logits[known], targets, reduction="sum")
        return total / known.sum().clamp(min=1)

    return loss


def soft_labels_loss(
    logits_s: Tensor, logits_t: Tensor, temperature: float | None = None, *_rows: Tensor
) -> Tensor:
    """T² times the sum over labels of KL(teacher || student) of softened Bernoulli distributions.

    Args:
        logits_s: student logits, (N, C).
        logits_t: teacher logits, (N, C); no gradient flows through.
        temperature: > 0; None: 2.

    Returns:
        Scalar, mean over N, in nats, 0 where N is.
    """
    t = temperature or _TEMPERATURE
    # Twice the logit against 0 is the choice among two that a sigmoid makes.
    ours, theirs = (
        torch.stack([functional.logsigmoid(logits / t), functional.logsigmoid(-logits / t)])
        for logits in (logits_s, logits_t)
    )
    total = functional.kl_div(ours, theirs, reduction="sum", log_target=True)
    return t**2 * total / max(1, len(logits_s))


def probabilities(logits: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))  # type: ignore[return-value]


def _truth(split: TokenizedSplit) -> FloatArray:
    assert split.labels is not None
    return split.labels.astype(np.float32)


def _metrics(
    split: TokenizedSplit, logits: FloatArray, _labels: list[str], thresholds: Thresholds, /
) -> dict[str, float]:
    truth, scores = _truth(split) > 0, probabilities(logits)
    passes = scores >= np.asarray(thresholds)
    return {
        "micro_f1": micro_f1(truth, passes),
        "macro_f1": macro_f1(truth, passes),
        "label_ranking_average_precision": label_ranking_average_precision(truth, scores),
    }


def _thresholds(split: TokenizedSplit, logits: FloatArray) -> Thresholds:
    return list(best_thresholds(_truth(split) > 0, probabilities(logits)))


def _constant_micro_f1(split: TokenizedSplit) -> float:
    """Of always naming the same labels, those with which it is best."""
    counts = np.sort(_truth(split).sum(axis=0))[::-1]
    named = len(split) * np.arange(1, len(counts) + 1)
    return float(np.max(2 * np.cumsum(counts) / (named + counts.sum())))


def _agreement(
    reference: FloatArray, exported: FloatArray, thresholds: Thresholds, _counts: IntArray | None = None, /
) -> float:
    """F1 of the labels that pass in one network against those that pass in the other.

    Most labels pass in neither: counting these as well would hide that others do not agree.
    """
    ours, theirs = (probabilities(logits) >= np.asarray(thresholds) for logits in (reference, exported))
    return micro_f1(ours, theirs) if ours.any() or theirs.any() else 1.0


IMPLEMENTATION = TaskImplementation(
    encode=texts_with("labels", label_matrix),
    answer_loss=binary_cross_entropy,
    soft_loss=soft_labels_loss,
    metrics=_metrics,
    baseline=_constant_micro_f1,
    agreement=_agreement,
    thresholds=_thresholds,
)
