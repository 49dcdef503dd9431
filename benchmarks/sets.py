"""The data sets that methods are compared on, as a job's worker would see them."""

import gzip
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.core.tasks import Task
from worker.contracts import TaskData, Teacher
from worker.tokenization import encode_columns, masked, pad_id, special_id


@dataclass(frozen=True)
class TextSet:
    """A folder of gzipped JSON lines and what is asked of it."""

    folder: str
    task: Task
    metric: str
    """By which it is judged, and the best step of a training is kept."""
    train: str = "train"
    max_length: int = 128
    per_label: int | None = None
    """So many training rows of each label, drawn by a seed; default: all rows."""


SETS = {
    "sst2": TextSet("sst2", "text_classification", "accuracy", max_length=64),
    "sst2_sentences": TextSet(
        "sst2", "text_classification", "accuracy", train="train_sentences", max_length=64
    ),
    "sst2_500": TextSet("sst2", "text_classification", "accuracy", max_length=64, per_label=500),
    "cola": TextSet("cola", "text_classification", "matthews", max_length=64),
    "rte": TextSet("rte", "text_classification", "accuracy"),
    "stsb": TextSet("stsb", "text_regression", "spearman"),
}


def labels_of(folder: Path) -> list[str]:
    return list(json.loads((folder / "meta.json").read_text()).get("labels") or ())


def read_set(name: str, data: Path, reader: Teacher, *, seed: int = 0, rows: int | None = None) -> TaskData:
    """Train and dev of a set, in a model's tokens.

    Args:
        name: of ``SETS``.
        data: the folder of all sets.
        reader: its tokenizer and card.
        seed: draws the rows of a set that takes a sample.
        rows: the first of train; default: all.
    """
    chosen = SETS[name]
    folder = data / chosen.folder
    train = read_rows(folder / f"{chosen.train}.jsonl.gz")[:rows]
    if chosen.per_label is not None:
        train = _sample(train, per_label=chosen.per_label, seed=seed)
    dev = read_rows(folder / "dev.jsonl.gz")
    is_pair = "text_pair" in dev[0]

    def encode(rows: list[dict[str, Any]]) -> Any:
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        return encode_columns(
            chosen.task, columns, teacher=reader, max_length=chosen.max_length, is_pair=is_pair
        )

    mask_id = special_id(reader.tokenizer, "[MASK]")
    dev_split = encode(dev)
    if chosen.task == "masked_language_modeling":
        assert mask_id is not None
        dev_split = masked(dev_split, mask_id=mask_id, vocabulary=reader.card.vocabulary, seed=0)
    return TaskData(
        task=chosen.task,
        train=encode(train),
        dev=dev_split,
        unlabeled=None,
        labels=labels_of(folder),
        pad_id=pad_id(reader.tokenizer),
        vocabulary=reader.card.vocabulary,
        mask_id=mask_id,
    )


def with_unlabeled(data: TaskData, texts: list[str], reader: Teacher, *, max_length: int) -> TaskData:
    """The same data with transfer text."""
    split = encode_columns(data.task, {"text": texts}, teacher=reader, max_length=max_length)
    return replace(data, unlabeled=split)


def read_rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _sample(rows: list[dict[str, Any]], *, per_label: int, seed: int) -> list[dict[str, Any]]:
    labels = np.array([row["label"] for row in rows])
    generator = np.random.default_rng(seed)
    chosen = np.concatenate(
        [
            generator.choice(np.flatnonzero(labels == label), per_label, replace=False)
            for label in np.unique(labels)
        ]
    )
    return [rows[i] for i in generator.permutation(chosen)]
