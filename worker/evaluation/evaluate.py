"""Logits of a whole split, from a torch network or from an ONNX file.

Shapes: P positions of the split, B rows and T tokens of a batch, C outputs.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from worker.contracts import IntArray, TokenizedSplit
from worker.data.batches import collate, ordered_rows
from worker.evaluation.metrics import FloatArray
from worker.networks.forward import answer

_CPU = torch.device("cpu")


@torch.inference_mode()
def predict_logits(
    network: nn.Module, split: TokenizedSplit, *, pad_id: int, device: torch.device, batch_size: int = 64
) -> FloatArray:
    """Logits at every position in the split's order, (P, C), computed in fp32 in eval mode."""

    def run(rows: IntArray) -> FloatArray:
        batch = collate(split, rows, pad_id=pad_id, device=device)
        logits: FloatArray = answer(network, batch).logits.cpu().numpy()
        return logits

    was_training = network.training
    network.eval()
    logits = by_length(run, split, batch_size=batch_size)
    network.train(was_training)
    return logits


class OnnxNetwork:
    """An ONNX file ready to run on the CPU, all cores."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._names = [argument.name for argument in self._session.get_inputs()]

    def logits(self, split: TokenizedSplit, *, pad_id: int, batch_size: int = 64) -> FloatArray:
        """Logits at every position in the split's order, (P, C)."""

        def run(rows: IntArray) -> FloatArray:
            logits = self.run(self.feed(split, rows, pad_id=pad_id))
            if split.positions is None:
                return logits
            positions = collate(split, rows, pad_id=pad_id, device=_CPU).positions
            assert positions is not None
            asked: FloatArray = logits[positions.numpy()]
            return asked

        return by_length(run, split, batch_size=batch_size)

    def feed(self, split: TokenizedSplit, rows: IntArray, *, pad_id: int) -> dict[str, IntArray]:
        """What ``run`` takes for some rows: int64 arrays (B, longest of the rows)."""
        inputs = collate(split, rows, pad_id=pad_id, device=_CPU).inputs
        first_type = torch.zeros_like(inputs["input_ids"])
        return {name: inputs.get(name, first_type).numpy() for name in self._names}

    def run(self, feed: dict[str, IntArray]) -> FloatArray:
        """Logits of one padded batch: (B, C), or (B, T, C) of a network that answers for tokens."""
        logits: FloatArray = self._session.run(["logits"], feed)[0]
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
