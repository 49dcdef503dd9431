"""Texts to tokens, and tokens to batches of nearly equal length."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer
from torch import Tensor

from app.core.manifest import DatasetManifest, Split
from app.core.shapes import EncoderCard
from worker.contracts import IntArray, TaskData, TokenizedSplit

_SORTED_BATCHES = 50
"""Batches that are sorted by length together: more pads less, fewer shuffles better."""


@dataclass(frozen=True)
class Batch:
    """One padded batch: B rows, T tokens.

    ``inputs`` are keyword arguments of the network, (B, T) each; ``labels`` is (B,) or None; ``rows`` (B,)
    says where in the split the batch comes from.
    """

    inputs: dict[str, Tensor]
    labels: Tensor | None
    rows: IntArray


def tokenize(
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
    *,
    tokenizer: Tokenizer,
    max_length: int,
    token_types: bool = False,
) -> TokenizedSplit:
    """Encode texts, or pairs of texts, cutting the longer part of what exceeds ``max_length``."""
    tokenizer.enable_truncation(max_length)
    encodings = tokenizer.encode_batch_fast(
        list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
    )
    offsets = np.zeros(len(encodings) + 1, dtype=np.int64)
    np.cumsum([len(encoding) for encoding in encodings], out=offsets[1:])
    ids = np.fromiter((id_ for e in encodings for id_ in e.ids), dtype=np.int32, count=offsets[-1])
    type_ids = None
    if token_types:
        type_ids = np.fromiter((t for e in encodings for t in e.type_ids), dtype=np.int8, count=offsets[-1])
    digest = hashlib.sha256(offsets.tobytes() + ids.tobytes())
    digest.update(b"" if type_ids is None else type_ids.tobytes())
    return TokenizedSplit(
        ids=ids,
        type_ids=type_ids,
        offsets=offsets,
        labels=None if labels is None else np.asarray(labels, dtype=np.int64),
        digest=digest.hexdigest(),
    )


def load_task_data(
    folder: Path, manifest: DatasetManifest, *, tokenizer: Tokenizer, card: EncoderCard, max_length: int
) -> tuple[TaskData, TokenizedSplit | None]:
    """The data that a method sees, and the test split, which it does not."""

    def split(name: Split) -> TokenizedSplit | None:
        if name not in manifest.splits:
            return None
        columns = pq.read_table(folder / f"{name}.parquet").to_pydict()
        return tokenize(
            columns["text"],
            columns.get("text_pair"),
            columns.get("label"),
            tokenizer=tokenizer,
            max_length=max_length,
            token_types=manifest.is_pair and card.token_types > 1,
        )

    train, dev = split("train"), split("dev")
    assert train is not None
    assert dev is not None
    data = TaskData(
        task=manifest.task,
        train=train,
        dev=dev,
        unlabeled=split("unlabeled"),
        labels=manifest.labels,
        pad_id=pad_id(tokenizer),
    )
    return data, split("test")


def pad_id(tokenizer: Tokenizer) -> int:
    """The id that fills up a batch; its positions are masked, so that any id would do."""
    for token in ("[PAD]", "<pad>"):
        found = tokenizer.token_to_id(token)
        if found is not None:
            return int(found)
    return 0


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


def collate(split: TokenizedSplit, rows: IntArray, *, pad_id: int, device: torch.device) -> Batch:
    """Gather rows into one padded batch on a device."""
    lengths = split.lengths[rows]
    mask = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    positions = np.repeat(split.offsets[rows], lengths) + within

    def padded(values: npt.NDArray[np.int32] | npt.NDArray[np.int8], fill: int) -> Tensor:
        out = np.full(mask.shape, fill, dtype=np.int64)
        out[mask] = values[positions]
        return torch.from_numpy(out).to(device)

    inputs = {
        "input_ids": padded(split.ids, pad_id),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(device),
    }
    if split.type_ids is not None:
        inputs["token_type_ids"] = padded(split.type_ids, 0)
    labels = None if split.labels is None else torch.from_numpy(split.labels[rows]).to(device)
    return Batch(inputs=inputs, labels=labels, rows=rows)


def subset(split: TokenizedSplit, rows: IntArray) -> TokenizedSplit:
    """Some rows of a split, in the order given."""
    lengths = split.lengths[rows]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    positions = np.repeat(split.offsets[rows], lengths) + within
    ids = split.ids[positions]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return replace(
        split,
        ids=ids,
        type_ids=None if split.type_ids is None else split.type_ids[positions],
        offsets=offsets,
        labels=None if split.labels is None else split.labels[rows],
        digest=hashlib.sha256(offsets.tobytes() + ids.tobytes()).hexdigest(),
    )
