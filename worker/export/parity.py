"""Does an ONNX file say what the torch network says?

Shapes: N texts compared, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.domain.errors import JobError
from worker.contracts import FloatArray, IntArray, TokenizedSplit
from worker.data.batches import subset

Predict = Callable[[TokenizedSplit], FloatArray]
"""Logits (rows, C) of a split in its order, computed in batches of nearly equal length."""

_TEXTS_ALONE = 16
_MIXED_TEXTS = 64
_MIXED_BATCH = 8


@dataclass(frozen=True)
class Parity:
    """How far the logits of two networks lie apart."""

    max_logit_difference: float
    """For regression relative to the largest value, if that is above 1."""
    label_agreement: float
    """Share of equal predictions, in [0, 1]."""


def compare_logits(
    reference: FloatArray, exported: FloatArray, *, agreement: Callable[[FloatArray, FloatArray], float]
) -> Parity:
    """Two arrays (N, C) of the same texts in the same order.

    Args:
        reference: of the torch network.
        exported: of the file.
        agreement: of the task, the share of answers that are the same.
    """
    scale = 1.0 if reference.shape[1] > 1 else max(1.0, float(np.abs(reference).max()))
    return Parity(
        max_logit_difference=float(np.abs(reference - exported).max()) / scale,
        label_agreement=agreement(reference, exported),
    )


def probe(predict: Predict, split: TokenizedSplit) -> FloatArray:
    """Logits of a split, then those of some of its texts alone and beside much longer or shorter ones.

    Batches of nearly equal length hardly pad: a wrong mask or a frozen dimension shows in the others.
    """
    alone = [row[None] for row in _spread_over_lengths(split, _TEXTS_ALONE)]
    texts = _spread_over_lengths(split, _MIXED_TEXTS)
    stride = -(-len(texts) // _MIXED_BATCH)
    mixed = [texts[start::stride] for start in range(stride)]  # each from a short text to a long one
    return np.concatenate([predict(split), *(predict(subset(split, rows)) for rows in [*alone, *mixed])])


def probed_counts(split: TokenizedSplit) -> IntArray:
    """How many positions each row has that ``probe`` gives logits of, in its order."""

    def counts(rows: TokenizedSplit) -> FloatArray:
        return np.diff(rows.position_offsets).astype(np.float32)

    return probe(counts, split).astype(np.int64)


def check_fp32(parity: Parity, *, tolerance: float) -> None:
    """Raises ``JobError`` when logits differ by more than ``tolerance``, or are not numbers."""
    if not parity.max_logit_difference <= tolerance:
        raise JobError(
            "onnx_parity_failed",
            "The logits of the ONNX file and of the torch network differ by up to "
            f"{parity.max_logit_difference:.2e}; the tolerance is {tolerance:.2e}. No model was registered, "
            "because a file that differs from the measured network must not be served.",
            max_logit_difference=parity.max_logit_difference,
            tolerance=tolerance,
        )


def check_int8(parity: Parity, *, min_agreement: float) -> None:
    """Raises ``JobError`` when fewer than ``min_agreement`` of the answers stay the same."""
    if not parity.label_agreement >= min_agreement:
        raise JobError(
            "int8_agreement_too_low",
            f"The int8 file agrees with the torch network on {parity.label_agreement:.1%} of the dev "
            f"predictions; at least {min_agreement:.1%} is required. "
            "A larger target or more training may help.",
            label_agreement=parity.label_agreement,
            min_agreement=min_agreement,
        )


def check_int8_metric(metric: float | None, of_network: float | None, *, min_kept: float) -> None:
    """Raises ``JobError`` when less than ``min_kept`` of the network's metric is left.

    Where one answer is nearly all, as no entity is among tags, a file can give it always and agree. A metric
    below 0 is not to get worse.
    """
    if metric is None or of_network is None or metric >= min(min_kept * of_network, of_network):
        return
    raise JobError(
        "int8_quality_too_low",
        f"The int8 file scores {metric:.3f} on dev, the torch network {of_network:.3f} on the same texts; "
        f"int8 must keep at least {min_kept:.1%} of it. "
        "A larger target or more training may help.",
        metric=metric,
        network_metric=of_network,
        min_kept=min_kept,
    )


def _spread_over_lengths(split: TokenizedSplit, count: int) -> IntArray:
    """At most ``count`` rows, from the shortest text to the longest."""
    by_length = np.argsort(split.lengths, kind="stable")
    return by_length[np.unique(np.linspace(0, len(by_length) - 1, count).round().astype(np.int64))]
