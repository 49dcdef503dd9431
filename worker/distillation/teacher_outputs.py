"""What a teacher says of a data set, computed once and kept.

Shapes: N rows, P positions of all rows together, C outputs, K tokens of all rows together, H teacher width.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.engine.tokenizing import pad_id as pad_id_of
from worker.contracts import IntArray, RunContext, Teacher, TokenizedSplit
from worker.data.batches import Batch, collate, ordered_rows
from worker.data.cached_files import is_cached
from worker.networks.forward import ForwardOutput, forward
from worker.numerics.precision import autocast
from worker.tasks.teacher_scores import certain, is_complete

_FORMAT = 3
_BATCH_TOKENS = 4096
_HELD_BYTES = 2**28
"""Logits up to this are held in memory, where a lookup costs nothing."""

LAST = -1
"""The last of a teacher's hidden states."""


@dataclass(frozen=True)
class Output:
    """One thing that a teacher says: its logits, or a hidden state of some tokens."""

    state: int | None = None
    """Which hidden state: 0 the embeddings', i the i-th layer's, ``LAST``; None: the logits."""
    of: Literal["every", "first", "asked"] = "every"
    """Of every token, of each row's first, or of the predicted positions: the first of a row where
    there is one per text. Logits are of the predicted positions."""
    exact: bool = False
    """Whether all is computed in fp32: what is measured by and not learnt."""

    @property
    def name(self) -> str:
        if self.exact:
            return "exact"
        return "logits" if self.state is None else f"{self.of}{self.state}"

    @property
    def dtype(self) -> type[np.generic]:
        return np.float32 if self.state is None else np.float16

    def offsets(self, split: TokenizedSplit) -> IntArray:
        """Where the values of each row begin."""
        if self.state is None or self.of == "asked":
            return split.position_offsets
        return np.arange(len(split) + 1) if self.of == "first" else split.offsets

    def values(self, forward_output: ForwardOutput, batch: Batch) -> Tensor:
        """Those of a batch, row after row."""
        if self.state is None:
            return forward_output.logits
        assert forward_output.states is not None
        state = forward_output.states[self.state]
        if self.of == "every":
            return state[batch.inputs["attention_mask"].bool()]
        is_first = self.of == "first" or batch.positions is None
        return state[:, 0] if is_first else state[batch.positions]


LOGITS = Output()
EXACT_LOGITS = Output(exact=True)


def prepare_outputs(
    teacher: Teacher,
    split: TokenizedSplit,
    outputs: Sequence[Output],
    *,
    pad_id: int,
    context: RunContext,
) -> None:
    """Have a teacher say all of ``outputs`` that no job has asked of it before.

    In one pass; in two where a trimmed teacher's tokens and the rows that the whole one judges are asked for.
    Logits that scores of other teachers take the place of are none of it.
    """
    asked_for = [output for output in outputs if output != LOGITS or asks_network(teacher, split)]
    paths = {output: _path(teacher, split, output, context) for output in asked_for}
    missing = {output: path for output, path in paths.items() if not is_cached(path)}
    for said_by, said_of in ((teacher, split), (teacher.untrimmed, split.untrimmed)):
        asked = [output for output in missing if _source(teacher, split, output)[0] is said_by]
        if said_by is None or said_of is None or not asked:
            continue
        own_pad_id = pad_id if said_by is teacher else pad_id_of(said_by.tokenizer)
        partial = {output: missing[output].with_suffix(f".{uuid4().hex}.partial") for output in asked}
        context.cache_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            for path in partial.values():
                stack.callback(path.unlink, missing_ok=True)
            _compute(said_by, said_of, partial, pad_id=own_pad_id, context=context)
            for output, path in partial.items():
                path.replace(missing[output])  # two jobs may race: both write the same bytes


def asks_network(teacher: Teacher, split: TokenizedSplit) -> bool:
    """Whether logits of a split are those of the teacher's network: no scores take their place everywhere."""
    return split.scores is None or (not teacher.has_new_head and not is_complete(split.scores))


def has_logits(teacher: Teacher, split: TokenizedSplit) -> bool:
    """Whether something is said of every row of a split: by scores, or by a network that knows the task."""
    return not teacher.has_new_head or (split.scores is not None and is_complete(split.scores))


def teacher_logits(
    teacher: Teacher, split: TokenizedSplit, *, pad_id: int, context: RunContext
) -> npt.NDArray[np.float32]:
    """The teacher's logits at every position of a split, (P, C): scores, or else what its network says.

    A network that does not know the task is not asked; in its place stand the rows' own labels.
    """
    if split.scores is None:
        return _cached(teacher, split, LOGITS, pad_id=pad_id, context=context)
    is_missing = np.isnan(split.scores).any(axis=1, keepdims=True)
    if not is_missing.any():
        return split.scores
    if teacher.has_new_head:
        assert split.labels is not None, "rows with neither scores nor labels are left out"
        others = certain(split.labels, split.scores.shape[1])
    else:
        others = _cached(teacher, split, LOGITS, pad_id=pad_id, context=context)
    return np.where(is_missing, others, split.scores)


def exact_logits(
    teacher: Teacher, split: TokenizedSplit, *, pad_id: int, context: RunContext
) -> npt.NDArray[np.float32]:
    """What the teacher's network itself says at every position of a split, (P, C), computed in fp32."""
    return _cached(teacher, split, EXACT_LOGITS, pad_id=pad_id, context=context)


def cached_logits(
    teacher: Teacher, split: TokenizedSplit, *, pad_id: int, context: RunContext
) -> Callable[[Batch], Tensor]:
    """The teacher's logits by batch, (P, C) fp32, read from a file that the first job fills."""
    outputs = teacher_logits(teacher, split, pad_id=pad_id, context=context)
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
    outputs = _cached(teacher, split, Output(state), pad_id=pad_id, context=context)  # (K, H), on disk

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


def cached_first_states(
    teacher: Teacher, split: TokenizedSplit, *, pad_id: int, context: RunContext, state: int
) -> npt.NDArray[np.float16]:
    """A hidden state of every row's first token, (N, H), on disk."""
    return _cached(teacher, split, Output(state, of="first"), pad_id=pad_id, context=context)


def cached_states_asked(
    teacher: Teacher, split: TokenizedSplit, *, state: int, pad_id: int, context: RunContext
) -> Callable[[Batch], Tensor]:
    """A hidden state by batch, where the network is asked: (P, H). The logits are kept in the same pass."""
    output, offsets = Output(state, of="asked"), split.position_offsets
    both = [output, LOGITS] if has_logits(teacher, split) else [output]
    prepare_outputs(teacher, split, both, pad_id=pad_id, context=context)
    states = _cached(teacher, split, output, pad_id=pad_id, context=context)

    def lookup(batch: Batch) -> Tensor:
        values = torch.from_numpy(states[_within(offsets, batch.rows)])
        return values.to(context.device, dtype=torch.float32)

    return lookup


def _within(offsets: IntArray, rows: IntArray) -> IntArray:
    """Where the elements of some rows lie, row after row."""
    lengths = np.diff(offsets)[rows]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    where: IntArray = np.repeat(offsets[rows], lengths) + within
    return where


def _cached(
    teacher: Teacher, split: TokenizedSplit, output: Output, *, pad_id: int, context: RunContext
) -> npt.NDArray[Any]:
    """Logits (P, C) in fp32; hidden states in fp16, (K, H), or (N, H) of first tokens, or (P, H)."""
    prepare_outputs(teacher, split, [output], pad_id=pad_id, context=context)
    values: npt.NDArray[Any] = np.load(_path(teacher, split, output, context), mmap_mode="r")
    return values


def _source(teacher: Teacher, split: TokenizedSplit, output: Output) -> tuple[Teacher, TokenizedSplit]:
    """Who says it, and of what: of rows and words the teacher before it was trimmed, of tokens the one after.

    Where trimming made a text shorter, since words became unknown, more words may fit into ``max_length``
    than the whole teacher can be asked of.
    """
    whole, whole_split = teacher.untrimmed, split.untrimmed
    is_of_tokens = output.state is not None and output.of == "every"
    if whole is None or whole_split is None or is_of_tokens:
        return teacher, split
    if not np.array_equal(split.position_offsets, whole_split.position_offsets):
        return teacher, split
    return whole, whole_split


def _path(teacher: Teacher, split: TokenizedSplit, output: Output, context: RunContext) -> Path:
    teacher, split = _source(teacher, split, output)
    asked = "" if split.positions is None else split.positions.tobytes().hex()
    named = f"{_FORMAT}:{output.name}:{teacher.digest}:{split.digest}:{asked}"
    return context.cache_dir / f"{output.name}-{hashlib.sha256(named.encode()).hexdigest()[:32]}.npy"


@torch.inference_mode()
def _compute(
    teacher: Teacher,
    split: TokenizedSplit,
    paths: dict[Output, Path],
    *,
    pad_id: int,
    context: RunContext,
) -> None:
    network = teacher.network.to(context.device).eval()
    with_states = any(output.state is not None for output in paths)
    files: dict[Output, np.memmap[tuple[int, ...], np.dtype[np.generic]]] = {}
    batches = ordered_rows(split.lengths, batch_size=max(1, _BATCH_TOKENS // int(split.lengths.max())))
    for done, rows in enumerate(batches):
        context.check_cancelled()
        batch = collate(split, rows, pad_id=pad_id, device=context.device)
        with nullcontext() if any(output.exact for output in paths) else autocast(context.device):
            forward_output = forward(network, batch, with_states=with_states)
        for output, path in paths.items():
            values, offsets = output.values(forward_output, batch), output.offsets(split)
            if output not in files:
                shape = (int(offsets[-1]), values.shape[-1])
                files[output] = np.lib.format.open_memmap(path, mode="w+", dtype=output.dtype, shape=shape)
            files[output][_within(offsets, rows)] = values.float().cpu().numpy()
        context.report("teacher_outputs", done + 1, len(batches))
    for file in files.values():
        file.flush()
