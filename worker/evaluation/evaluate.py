"""Logits of a whole split, batch by batch.

Shapes: P positions of the split, B rows and T tokens of a batch, C outputs.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from worker.contracts import FloatArray, IntArray, TokenizedSplit
from worker.data.batches import collate, ordered_rows
from worker.networks.forward import forward


@torch.inference_mode()
def predict_logits(
    network: nn.Module, split: TokenizedSplit, *, pad_id: int, device: torch.device, batch_size: int = 64
) -> FloatArray:
    """Logits at every position in the split's order, (P, C), computed in fp32 in eval mode."""

    def run(rows: IntArray) -> FloatArray:
        batch = collate(split, rows, pad_id=pad_id, device=device)
        logits: FloatArray = forward(network, batch).logits.cpu().numpy()
        return logits

    was_training = network.training
    network.eval()
    logits = by_length(run, split, batch_size=batch_size)
    network.train(was_training)
    return logits


def by_length(run: Callable[[IntArray], FloatArray], split: TokenizedSplit, *, batch_size: int) -> FloatArray:
    """Run all rows in batches of nearly equal length; logits (P, C) in the split's order."""
    batches = ordered_rows(split.lengths, batch_size=batch_size)
    logits = np.concatenate([run(rows) for rows in batches])
    begins = split.position_offsets
    counts = np.diff(begins)[np.concatenate(batches)]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    ordered = np.empty_like(logits)
    ordered[np.repeat(begins[np.concatenate(batches)], counts) + within] = logits
    return ordered
