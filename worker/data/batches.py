"""Splits to batches of nearly equal length.

Shapes: B rows, T tokens, S written tokens, P positions of a batch.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.engine.padding import BoolArray, network_inputs, pad, token_mask
from worker.contracts import IGNORE_INDEX, AskedContexts, FloatArray, IntArray, TokenizedSplit

_SORTED_BATCHES = 50
"""Batches that are sorted by length together: more pads less, fewer shuffles better."""


_on_batch: ContextVar[Callable[[], None]] = ContextVar("on_batch", default=lambda: None)


@contextmanager
def watching_batches(on_batch: Callable[[], None]) -> Iterator[None]:
    """Call a function for each batch that is made in the block, of training and evaluation alike.

    A job's process shows by it that it is alive, and ends when it is asked to: long loops are over batches.
    """
    token = _on_batch.set(on_batch)
    try:
        yield
    finally:
        _on_batch.reset(token)


def announce_batch() -> None:
    """Call what ``watching_batches`` was given: the job is alive, and may be told to stop."""
    _on_batch.get()()


@dataclass(frozen=True)
class Batch:
    """One padded batch.

    ``inputs`` are keyword arguments of the network, (B, T) each and, where it writes, decoder_input_ids
    (B, S). ``positions``, (B, T) or (B, S), marks where the network predicts; None: once per row. ``labels``
    is (P,) or None; ``rows`` (B,) says where in the split the batch comes from. The weights are what means
    over its known labels, its rows and its tokens weigh beside those over what it asks: in a step of several
    batches its part of the ones may be another than of the others.
    """

    inputs: dict[str, Tensor]
    labels: Tensor | None
    rows: IntArray
    positions: Tensor | None = None
    label_weight: Tensor | float = 1.0
    row_weight: Tensor | float = 1.0
    token_weight: Tensor | float = 1.0

    @property
    def position_rows(self) -> Tensor:
        """The row of each position within the batch, (P,), ascending."""
        if self.positions is None:
            return torch.arange(len(self.rows), device=self.inputs["input_ids"].device)
        return self.positions.nonzero()[:, 0]


def at_positions(values: Tensor, batch: Batch) -> Tensor:
    """Values at the predicted positions: (B, D) unchanged, (B, T, D) gathered to (P, D)."""
    return values if batch.positions is None else values[batch.positions]


def batch_rows(lengths: IntArray, *, batch_size: int, seed: int, epoch: int) -> list[IntArray]:
    """The rows of each batch of an epoch, shuffled, the texts of a batch of nearly one length.

    A function of its arguments alone, so that a resumed job meets the same batches.
    """
    generator = np.random.default_rng([seed, epoch])
    shuffled = generator.permutation(len(lengths))
    batches: list[IntArray] = []
    for start in range(0, len(shuffled), batch_size * _SORTED_BATCHES):
        window = shuffled[start : start + batch_size * _SORTED_BATCHES]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def ordered_rows(lengths: IntArray, *, batch_size: int) -> list[IntArray]:
    """Batches of all rows by length, for passes in which order means nothing."""
    by_length = np.argsort(lengths, kind="stable")
    return [by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)]


def padded_inputs(split: TokenizedSplit, rows: IntArray, *, pad_id: int) -> dict[str, IntArray]:
    """What a network reads of some rows, int64 (B, T) each: see ``network_inputs``."""
    announce_batch()
    where = gathered(split.offsets, rows)
    return network_inputs(
        split.ids[where],
        split.lengths[rows],
        pad_id=pad_id,
        type_ids=None if split.type_ids is None else split.type_ids[where],
    )


def padded_positions(split: TokenizedSplit, rows: IntArray) -> BoolArray:
    """Where a network that reads some rows is asked, (B, T)."""
    assert split.positions is not None
    asked = split.positions[gathered(split.offsets, rows)]
    return pad(asked, token_mask(split.lengths[rows]), fill=0).astype(np.bool_)


def collate(split: TokenizedSplit, rows: IntArray, *, pad_id: int, device: torch.device) -> Batch:
    """Gather rows into one padded batch on a device."""
    arrays = padded_inputs(split, rows, pad_id=pad_id)
    inputs = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    positions = None
    if split.positions is not None:
        positions = torch.from_numpy(padded_positions(split, rows)).to(device)
    if split.targets is not None:
        return _with_targets(inputs, split.targets, rows, pad_id=pad_id, device=device)
    labels = None
    if split.labels is not None:
        answers = gathered(split.position_offsets, rows)
        labels = torch.from_numpy(split.labels[answers]).to(device)
    return Batch(inputs=inputs, labels=labels, rows=rows, positions=positions)


def subset(split: TokenizedSplit, rows: IntArray) -> TokenizedSplit:
    """Some rows of a split, in the order given."""
    where = gathered(split.offsets, rows)
    answers = gathered(split.position_offsets, rows)
    ids = split.ids[where]
    offsets = np.concatenate([[0], np.cumsum(split.lengths[rows])]).astype(np.int64)
    return replace(
        split,
        ids=ids,
        type_ids=None if split.type_ids is None else split.type_ids[where],
        offsets=offsets,
        labels=None if split.labels is None else split.labels[answers],
        scores=None if split.scores is None else split.scores[answers],
        written=None if split.written is None else subset(split.written, rows),
        positions=None if split.positions is None else split.positions[where],
        targets=None if split.targets is None else subset(split.targets, rows),
        references=None if split.references is None else [split.references[row] for row in rows],
        languages=None if split.languages is None else [split.languages[row] for row in rows],
        questions=None if split.questions is None else _some_windows(split.questions, rows, answers),
        untrimmed=None if split.untrimmed is None else subset(split.untrimmed, rows),
        groups=None if split.groups is None else split.groups[rows],
        teacher_vectors=None if split.teacher_vectors is None else split.teacher_vectors[rows],
        digest=hashlib.sha256(offsets.tobytes() + ids.tobytes()).hexdigest(),
    )


def concatenate(first: TokenizedSplit, second: TokenizedSplit) -> TokenizedSplit:
    """Both splits as one; rows without labels, where the others have some, get ``IGNORE_INDEX`` or NaN.

    Either both or none have positions, and targets. ``languages``, ``references``, ``written``,
    ``questions``, ``groups`` and ``teacher_vectors`` are dropped.
    """
    ids = np.concatenate([first.ids, second.ids])
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    return TokenizedSplit(
        ids=ids,
        type_ids=_joined(first.type_ids, second.type_ids, first, second),
        offsets=offsets,
        labels=_joined_labels(first, second),
        scores=_joined_scores(first, second),
        positions=None
        if first.positions is None or second.positions is None
        else np.concatenate([first.positions, second.positions]),
        targets=None
        if first.targets is None or second.targets is None
        else concatenate(first.targets, second.targets),
        digest=hashlib.sha256(f"{first.digest}{second.digest}".encode()).hexdigest(),
        untrimmed=None
        if first.untrimmed is None or second.untrimmed is None
        else concatenate(first.untrimmed, second.untrimmed),
    )


def _some_windows(asked: AskedContexts, rows: IntArray, places: IntArray) -> AskedContexts:
    return replace(asked, rows=asked.rows[rows], spans=asked.spans[places])


def _with_targets(
    inputs: dict[str, Tensor],
    targets: TokenizedSplit,
    rows: IntArray,
    *,
    pad_id: int,
    device: torch.device,
) -> Batch:
    """The decoder reads what it has written so far, beginning with padding, as Marian does."""
    mask = token_mask(targets.lengths[rows])
    ids = targets.ids[gathered(targets.offsets, rows)]
    written = torch.from_numpy(pad(ids, mask, fill=pad_id))  # (B, S)
    read = torch.cat([torch.full((len(rows), 1), pad_id), written[:, :-1]], dim=1)
    there = torch.from_numpy(mask)
    return Batch(
        inputs={**inputs, "decoder_input_ids": read.to(device)},
        labels=written[there].to(device),
        rows=rows,
        positions=there.to(device),
    )


def gathered(offsets: IntArray, rows: IntArray) -> IntArray:
    """Where the elements of some rows lie, row after row."""
    lengths = np.diff(offsets)[rows]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    where: IntArray = np.repeat(offsets[rows], lengths) + within
    return where


def _joined(
    one: npt.NDArray[np.int8] | None,
    other: npt.NDArray[np.int8] | None,
    first: TokenizedSplit,
    second: TokenizedSplit,
) -> npt.NDArray[np.int8] | None:
    if one is None and other is None:
        return None
    parts = [
        np.zeros(len(split.ids), dtype=np.int8) if types is None else types
        for types, split in ((one, first), (other, second))
    ]
    return np.concatenate(parts)


def _joined_scores(first: TokenizedSplit, second: TokenizedSplit) -> FloatArray | None:
    """NaN where one of them has none."""
    known = [split.scores for split in (first, second) if split.scores is not None]
    if not known:
        return None
    parts = [
        np.full((split.position_offsets[-1], known[0].shape[1]), np.nan, np.float32)
        if split.scores is None
        else split.scores
        for split in (first, second)
    ]
    return np.concatenate(parts)


def _joined_labels(first: TokenizedSplit, second: TokenizedSplit) -> npt.NDArray[np.int64] | None:
    splits: Sequence[TokenizedSplit] = (first, second)
    known = [split.labels for split in splits if split.labels is not None]
    if not known:
        return None
    dtype, outputs = known[0].dtype, known[0].shape[1:]
    unknown = np.nan if np.issubdtype(dtype, np.floating) else IGNORE_INDEX
    parts = [
        np.full((split.position_offsets[-1], *outputs), unknown, dtype=dtype)
        if split.labels is None
        else split.labels
        for split in splits
    ]
    joined: npt.NDArray[np.int64] = np.concatenate(parts)
    return joined
