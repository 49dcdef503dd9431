"""What a teacher says of a data set, computed once and kept.

Shapes: N rows, P positions of all rows together, C outputs, K tokens of all rows together, H teacher width.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.contracts import IntArray, RunContext, Teacher, TokenizedSplit
from worker.data import Batch, collate, ordered_rows
from worker.modeling.answering import answer
from worker.training.precision import autocast

_FORMAT = 2
_BATCH_TOKENS = 4096
_HELD_BYTES = 2**28
"""Logits up to this are held in memory, where a lookup costs nothing."""

LAST = -1
"""The last of a teacher's hidden states."""


def cached_logits(
    teacher: Teacher, split: TokenizedSplit, *, pad_id: int, context: RunContext
) -> Callable[[Batch], Tensor]:
    """The teacher's logits by batch, (P, C) fp32, read from a file that the first job fills."""
    outputs = _cached(teacher, split, state=None, pad_id=pad_id, context=context)  # (P, C)
    offsets = split.position_offsets
    if outputs.nbytes > _HELD_BYTES:
        return lambda batch: torch.from_numpy(outputs[_within(offsets, batch.rows)]).to(context.device)
    table = torch.from_numpy(np.array(outputs)).to(context.device)
    if split.positions is None:
        return lambda batch: table[torch.from_numpy(batch.rows).to(table.device)]
    return lambda batch: table[torch.from_numpy(_within(offsets, batch.rows)).to(table.device)]


def cached_hidden_states(
    teacher: Teacher,
    split: TokenizedSplit,
    *,
    projection: Tensor | None,
    pad_id: int,
    context: RunContext,
    state: int = LAST,
) -> Callable[[Batch], Tensor]:
    """The teacher's hidden states by batch, mapped to the student's width, (B, T, D).

    Args:
        teacher: whose states.
        split: on these rows.
        projection: (H, D), from the teacher's residual stream to the student's; None: as they are.
        pad_id: fills up batches.
        context: device, cache and reports.
        state: which of them: 0 the embeddings', i the i-th layer's, ``LAST``.
    """
    outputs = _cached(teacher, split, state=state, pad_id=pad_id, context=context)  # (K, H), on disk

    def lookup(batch: Batch) -> Tensor:
        mask = batch.inputs["attention_mask"].bool()
        tokens = outputs[_within(split.offsets, batch.rows)]
        values = torch.from_numpy(tokens).to(context.device, dtype=torch.float32)
        if projection is not None:
            values = values @ projection
        hidden = values.new_zeros(*mask.shape, values.shape[-1])
        hidden[mask] = values
        return hidden

    return lookup


def _within(offsets: IntArray, rows: IntArray) -> IntArray:
    """Where the elements of some rows lie, row after row."""
    lengths = np.diff(offsets)[rows]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    where: IntArray = np.repeat(offsets[rows], lengths) + within
    return where


def _cached(
    teacher: Teacher, split: TokenizedSplit, *, state: int | None, pad_id: int, context: RunContext
) -> npt.NDArray[np.generic]:
    """Logits (P, C) in fp32 where ``state`` is None, else hidden states (K, H) in fp16."""
    kind = "logits" if state is None else f"hidden{state}"
    asked = "" if split.positions is None else split.positions.tobytes().hex()
    key = hashlib.sha256(f"{_FORMAT}:{kind}:{teacher.digest}:{split.digest}:{asked}".encode()).hexdigest()
    path = context.cache_dir / f"{kind}-{key[:32]}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            _compute(teacher, split, state=state, pad_id=pad_id, context=context, path=partial)
            partial.replace(path)  # two jobs may race: both write the same bytes
        finally:
            partial.unlink(missing_ok=True)
    outputs: npt.NDArray[np.generic] = np.load(path, mmap_mode="r")
    return outputs


@torch.inference_mode()
def _compute(
    teacher: Teacher,
    split: TokenizedSplit,
    *,
    state: int | None,
    pad_id: int,
    context: RunContext,
    path: Path,
) -> None:
    network = teacher.network.to(context.device).eval()
    offsets = split.position_offsets if state is None else split.offsets
    dtype = np.float32 if state is None else np.float16
    outputs: npt.NDArray[np.generic] | None = None
    batches = ordered_rows(split.lengths, batch_size=max(1, _BATCH_TOKENS // int(split.lengths.max())))
    for done, rows in enumerate(batches):
        context.check_cancelled()
        batch = collate(split, rows, pad_id=pad_id, device=context.device)
        with autocast(context.device):
            said = answer(network, batch, with_states=state is not None)
        if state is None:
            values = said.logits
        else:
            assert said.states is not None
            values = said.states[state][batch.inputs["attention_mask"].bool()]
        if outputs is None:
            shape = (int(offsets[-1]), values.shape[-1])
            outputs = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        outputs[_within(offsets, rows)] = values.float().cpu().numpy()
        context.report("teacher_outputs", done + 1, len(batches))
    assert isinstance(outputs, np.memmap)
    outputs.flush()
