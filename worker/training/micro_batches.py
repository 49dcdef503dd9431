"""A step in several batches, so that it takes less memory and teaches the same."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from worker.contracts import IGNORE_INDEX
from worker.data.batches import Batch


def with_shares(batches: Sequence[Batch]) -> list[tuple[Batch, Tensor | float]]:
    """Each batch and its share of the predicted positions, over which losses are means.

    Those over known labels, rows or tokens are weighed so that they add up likewise.
    """
    if len(batches) <= 1:
        return [(batch, 1.0) for batch in batches]
    rows, tokens, asked, known = torch.stack([_counts(batch) for batch in batches], dim=1)
    shares = _parts(asked.clamp(min=1))
    weights = [_parts(counts) / shares for counts in (known, rows, tokens)]
    return [
        (replace(batch, label_weight=label, row_weight=row, token_weight=token), share)
        for batch, share, label, row, token in zip(batches, shares, *weights, strict=True)
    ]


def _parts(counts: Tensor) -> Tensor:
    return counts / counts.sum().clamp(min=1)


def _counts(batch: Batch) -> Tensor:
    """Rows, tokens, predicted positions and known labels, (4,)."""
    mask = batch.inputs["attention_mask"]
    rows = torch.tensor(len(batch.rows), device=mask.device)
    asked = rows if batch.positions is None else batch.positions.sum()
    return torch.stack([rows, mask.sum(), asked, _known(batch).to(mask.device)])


def _known(batch: Batch) -> Tensor:
    """How many of a batch's labels somebody knows."""
    if batch.labels is None:
        return torch.zeros((), dtype=torch.int64)
    if batch.positions is not None and batch.labels.ndim > 1:  # one answer a row, 1 where it begins
        return batch.labels[:, 0].nansum()
    is_known = batch.labels.isfinite() if batch.labels.is_floating_point() else batch.labels != IGNORE_INDEX
    return is_known.sum()
