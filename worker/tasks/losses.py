"""Losses over logits.

Shapes: B rows, P positions, C outputs.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from app.domain.methods.terms import default_temperature
from worker.contracts import IGNORE_INDEX


def cross_entropy(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """In nats, mean over the positions whose label is known; 0 where none is."""
    total = functional.cross_entropy(
        logits, labels, ignore_index=IGNORE_INDEX, reduction="sum", label_smoothing=smoothing
    )
    return total / (labels != IGNORE_INDEX).sum().clamp(min=1)


def smoothed_cross_entropy(smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    return partial(cross_entropy, smoothing=smoothing)


def squared_error(outputs: Tensor, scores: Tensor) -> Tensor:
    """Mean over the rows whose score is known; outputs are (B, 1)."""
    known = scores.isfinite()
    differences = torch.where(known, outputs[:, 0] - scores, 0.0)
    return differences.square().sum() / known.sum().clamp(min=1)


def soft_label_loss(
    logits_s: Tensor, logits_t: Tensor, temperature: float | None = None, *_rows: Tensor
) -> Tensor:
    """T² KL(teacher || student) of softened distributions (Hinton et al., 2015).

    Args:
        logits_s: student logits, (P, C), unnormalised.
        logits_t: teacher logits, (P, C); no gradient flows through.
        temperature: > 0; gradients shrink with its square, hence the factor T². None: of so many outputs.

    Returns:
        Scalar, mean over P ("batchmean"), in nats, 0 where P is.
    """
    t = temperature or default_temperature(logits_s.shape[-1])
    total = functional.kl_div(
        functional.log_softmax(logits_s / t, dim=-1),
        functional.log_softmax(logits_t / t, dim=-1),
        reduction="sum",
        log_target=True,
    )
    return t**2 * total / max(1, len(logits_s))


def squared_difference(
    outputs_s: Tensor, outputs_t: Tensor, _temperature: float | None = None, *_rows: Tensor
) -> Tensor:
    """Of numbers, which are no distribution: the mean over all of (P, 1)."""
    return functional.mse_loss(outputs_s, outputs_t)
