"""Logits of a whole split, from a torch network or from an ONNX file, and what they are worth.

Shapes: N rows of the split, B rows of a batch, C classes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from app.core.errors import JobError
from app.core.tasks import Task
from worker.contracts import IntArray, TokenizedSplit
from worker.data import collate, ordered_rows
from worker.evaluation.metrics import METRICS, FloatArray

_CPU = torch.device("cpu")


@torch.inference_mode()
def predict_logits(
    network: nn.Module, split: TokenizedSplit, *, pad_id: int, device: torch.device, batch_size: int = 64
) -> FloatArray:
    """Logits of every row in the split's order, (N, C), computed in fp32 in eval mode."""

    def run(rows: IntArray) -> FloatArray:
        inputs = collate(split, rows, pad_id=pad_id, device=device).inputs
        logits: FloatArray = network(**inputs).logits.float().cpu().numpy()
        return logits

    was_training = network.training
    network.eval()
    logits = _by_length(run, split, batch_size=batch_size)
    network.train(was_training)
    return logits


class OnnxNetwork:
    """An ONNX file ready to run on the CPU, all cores."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._names = [argument.name for argument in self._session.get_inputs()]

    def logits(self, split: TokenizedSplit, *, pad_id: int, batch_size: int = 64) -> FloatArray:
        """Logits of every row in the split's order, (N, C)."""
        return _by_length(
            lambda rows: self.run(self.feed(split, rows, pad_id=pad_id)), split, batch_size=batch_size
        )

    def feed(self, split: TokenizedSplit, rows: IntArray, *, pad_id: int) -> dict[str, IntArray]:
        """What ``run`` takes for some rows: int64 arrays (B, longest of the rows)."""
        inputs = collate(split, rows, pad_id=pad_id, device=_CPU).inputs
        first_type = torch.zeros_like(inputs["input_ids"])
        return {name: inputs.get(name, first_type).numpy() for name in self._names}

    def run(self, feed: dict[str, IntArray]) -> FloatArray:
        """Logits (B, C) of one padded batch."""
        logits: FloatArray = self._session.run(["logits"], feed)[0]
        return logits


def quality(task: Task, split: TokenizedSplit, logits: FloatArray) -> dict[str, float]:
    """Every metric of the task on a labelled split.

    Raises:
        JobError: ``training_diverged``, when the logits are not all numbers.
    """
    if not np.isfinite(logits).all():
        broken = np.count_nonzero(~np.isfinite(logits).all(axis=1))
        raise JobError(
            "training_diverged",
            f"{broken} of {len(logits)} texts got logits that are not numbers. "
            "Lower training.learning_rate or raise training.warmup_ratio.",
        )
    assert split.labels is not None
    return METRICS[task](split.labels, logits)


def _by_length(
    run: Callable[[IntArray], FloatArray], split: TokenizedSplit, *, batch_size: int
) -> FloatArray:
    """Run all rows in batches of nearly equal length; logits (N, C) in the split's order."""
    batches = ordered_rows(split.lengths, batch_size=batch_size)
    logits = np.concatenate([run(rows) for rows in batches])
    return logits[np.argsort(np.concatenate(batches))]
