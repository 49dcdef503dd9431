"""What a teacher says of a data set, computed once and kept.

Shapes: N rows, C classes, K tokens of all rows together, H teacher width.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.contracts import RunContext, Teacher, TokenizedSplit
from worker.data import Batch, collate, ordered_rows
from worker.training.precision import autocast

_FORMAT = 1
_BATCH_TOKENS = 4096


def cached_logits(
    teacher: Teacher, split: TokenizedSplit, *, pad_id: int, context: RunContext
) -> Callable[[Batch], Tensor]:
    """The teacher's logits by batch, (B, C) fp32, read from a file that the first job fills."""
    outputs = _cached(teacher, split, kind="logits", pad_id=pad_id, context=context)
    table = torch.from_numpy(np.array(outputs)).to(context.device)  # (N, C): small enough to hold
    return lambda batch: table[torch.from_numpy(batch.rows).to(table.device)]


def cached_hidden_states(
    teacher: Teacher, split: TokenizedSplit, *, projection: Tensor, pad_id: int, context: RunContext
) -> Callable[[Batch], Tensor]:
    """The teacher's last hidden states by batch, mapped to the student's width, (B, T, D).

    Args:
        teacher: whose states.
        split: on these rows.
        projection: (H, D), from the teacher's residual stream to the student's.
        pad_id: fills up batches.
        context: device, cache and reports.
    """
    outputs = _cached(teacher, split, kind="hidden", pad_id=pad_id, context=context)  # (K, H), on disk

    def lookup(batch: Batch) -> Tensor:
        mask = batch.inputs["attention_mask"].bool()
        lengths = split.lengths[batch.rows]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        tokens = outputs[np.repeat(split.offsets[batch.rows], lengths) + within]
        values = torch.from_numpy(tokens).to(context.device, dtype=torch.float32) @ projection
        hidden = values.new_zeros(*mask.shape, values.shape[-1])
        hidden[mask] = values
        return hidden

    return lookup


def _cached(
    teacher: Teacher, split: TokenizedSplit, *, kind: str, pad_id: int, context: RunContext
) -> npt.NDArray[np.generic]:
    key = hashlib.sha256(f"{_FORMAT}:{kind}:{teacher.digest}:{split.digest}".encode()).hexdigest()
    path = context.cache_dir / f"{kind}-{key[:32]}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            _compute(teacher, split, kind=kind, pad_id=pad_id, context=context, path=partial)
            partial.replace(path)  # two jobs may race: both write the same bytes
        finally:
            partial.unlink(missing_ok=True)
    outputs: npt.NDArray[np.generic] = np.load(path, mmap_mode="r")
    return outputs


@torch.inference_mode()
def _compute(
    teacher: Teacher, split: TokenizedSplit, *, kind: str, pad_id: int, context: RunContext, path: Path
) -> None:
    network = teacher.network.to(context.device).eval()
    width = network.config.num_labels if kind == "logits" else teacher.card.shape.hidden
    length = len(split) if kind == "logits" else len(split.ids)
    dtype = np.float32 if kind == "logits" else np.float16
    outputs = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(length, width))
    batches = ordered_rows(split.lengths, batch_size=max(1, _BATCH_TOKENS // int(split.lengths.max())))
    for done, rows in enumerate(batches):
        context.check_cancelled()
        batch = collate(split, rows, pad_id=pad_id, device=context.device)
        with autocast(context.device):
            result = network(**batch.inputs, output_hidden_states=kind == "hidden")
        if kind == "logits":
            outputs[rows] = result.logits.float().cpu().numpy()
        else:
            states = result.hidden_states[-1].float().cpu().numpy()
            for row, state in zip(rows, states, strict=True):
                outputs[split.offsets[row] : split.offsets[row + 1]] = state[: split.lengths[row]]
        context.report("teacher_outputs", done + 1, len(batches))
    outputs.flush()
