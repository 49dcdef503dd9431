"""The data sets that methods are compared on, as a job's worker would see them."""

import gzip
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.tasks import TASKS, Task
from app.engine.tokenizing import pad_id, special_id
from worker.contracts import TaskData, Teacher, TokenizedSplit
from worker.data.tokenization import masked
from worker.tasks.reading import encode_columns

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TextSet:
    """A folder of gzipped JSON lines, or several, and what is asked of it."""

    folders: Mapping[str, str]
    """By language; "" where there is but one."""
    task: Task
    metric: str
    """By which it is judged, and the best step of a training is kept."""
    max_length: int = 128
    per_label: int | None = None
    """So many training rows of each label, drawn by a seed; default: all rows."""
    transfer: str | None = None
    """A folder of unlabelled sentences of the same kind."""
    most_words: int | None = None
    """Of a context; rows with longer ones are left out."""
    held_out: int = 0
    """The last rows of train, as dev of a set that has none."""
    same_from: float | None = None
    """The score from which two texts of a pair are the same: scored pairs as a classification."""
    drawn: int | None = None
    """So many training rows, the same ones for all; default: all rows."""
    texts: Mapping[str, int] = field(default_factory=dict)
    """Files of sentences that are learnt from in place of train, and how many of each."""


def _one(folder: str) -> Mapping[str, str]:
    return {"": folder}


_SENTENCES = {
    "multi30k_captions_mono/train_en.jsonl.gz": 5_000,
    "transfer_movie_sentences/train.jsonl.gz": 5_000,
}
_NER_FOLDERS = {"da": "ner_multi_da", "no": "ner_multi_no", "ro": "ner_multi_ro", "sw": "masakhaner2_swa"}

SETS = {
    "sst2": TextSet(_one("sst2"), "text_classification", "accuracy", max_length=64),
    "sst2_500": TextSet(
        _one("sst2"),
        "text_classification",
        "accuracy",
        max_length=64,
        per_label=500,
        transfer="transfer_movie_sentences",
    ),
    "clinc150": TextSet(_one("clinc150"), "text_classification", "accuracy", max_length=64),
    "cola": TextSet(_one("cola"), "text_classification", "matthews", max_length=64),
    "rte": TextSet(_one("rte"), "text_classification", "accuracy"),
    "stsb": TextSet(_one("stsb"), "text_regression", "spearman"),
    "stsb_pairs": TextSet(_one("stsb"), "text_classification", "accuracy", same_from=3.0, drawn=3_668),
    "goemotions": TextSet(_one("goemotions"), "multi_label_classification", "micro_f1", max_length=64),
    "subjqa": TextSet(_one("subjqa"), "question_answering", "answerable_f1", max_length=192),
    "subjqa_short": TextSet(
        _one("subjqa"), "question_answering", "answerable_f1", max_length=192, most_words=80
    ),
    "sentences": TextSet(_one("stsb"), "sentence_embedding", "spearman", max_length=64, texts=_SENTENCES),
    "ner4": TextSet(_NER_FOLDERS, "token_classification", "f1"),
    "multi30k": TextSet(_one("multi30k_en_de"), "translation", "bleu", max_length=64),
    "movie_words": TextSet(
        _one("transfer_movie_sentences"),
        "masked_language_modeling",
        "accuracy",
        max_length=64,
        held_out=2_000,
    ),
}


def read_set(
    name: str,
    data: Path,
    reader: Teacher,
    *,
    seed: int = 0,
    rows: int | None = None,
    dev_rows: int | None = None,
    transfer_rows: int = 0,
) -> TaskData:
    """Train and dev of a set, in a model's tokens.

    Args:
        name: of ``SETS``.
        data: the folder of all sets.
        reader: its tokenizers and architecture.
        seed: draws the rows of a set that takes a sample.
        rows: the first of train; default: all.
        dev_rows: the first of dev; default: all.
        transfer_rows: the first of its unlabelled sentences.
    """
    chosen = SETS[name]
    train = _train(chosen, data)
    if chosen.drawn is not None:
        random.Random(0).shuffle(train)
        train = train[: chosen.drawn]
    train = train[:rows]
    if chosen.per_label is not None:
        train = _sample(train, per_label=chosen.per_label, seed=seed)
    if chosen.held_out:
        train, dev = train[: -chosen.held_out], train[-chosen.held_out :]
    else:
        dev = _labelled(chosen, data, "dev")
    dev = dev[:dev_rows]
    labels = labels_of(chosen, data)
    mask_id = special_id(reader.tokenizer, "[MASK]")
    dev_split = _encode(chosen, dev, labels, reader)
    if TASKS[chosen.task].masks_inputs:
        assert mask_id is not None
        dev_split = masked(dev_split, mask_id=mask_id, vocabulary=reader.architecture.vocabulary, seed=0)
    unlabeled = None
    if chosen.transfer is not None and transfer_rows:
        sentences = read_rows(data / chosen.transfer / "train.jsonl.gz")[:transfer_rows]
        unlabeled = _encode(chosen, [{"text": _as_sst(row["text"])} for row in sentences], labels, reader)
    return TaskData(
        task=chosen.task,
        train=_encode(chosen, train, labels, reader),
        dev=dev_split,
        unlabeled=unlabeled,
        labels=labels,
        pad_id=pad_id(reader.tokenizer),
        vocabulary=reader.architecture.vocabulary,
        mask_id=mask_id,
        target_tokenizer=reader.tokenizers.target_tokenizer if TASKS[chosen.task].writes else None,
        dimensions=reader.architecture.width if TASKS[chosen.task].answers_in_vectors else 0,
    )


def read_test(name: str, data: Path, reader: Teacher) -> TokenizedSplit:
    """The test split of a set that has one."""
    chosen = SETS[name]
    return _encode(chosen, _labelled(chosen, data, "test"), labels_of(chosen, data), reader)


def _train(chosen: TextSet, data: Path) -> list[Row]:
    if not chosen.texts:
        return _labelled(chosen, data, "train")
    texts = [row["text"] for name, count in chosen.texts.items() for row in read_rows(data / name)[:count]]
    return [{"text": text} for text in texts]


def labels_of(chosen: TextSet, data: Path) -> list[str]:
    """Names in order; of entities, the tags of every kind that training rows have."""
    if TASKS[chosen.task].answering == "token" and TASKS[chosen.task].has_labels:
        tags = {tag for row in _labelled(chosen, data, "train") for tag in row["tags"]}
        kinds = sorted({tag[2:] for tag in tags if tag != "O"})
        return ["O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]
    if not TASKS[chosen.task].has_labels:
        return []
    if chosen.same_from is not None:
        return ["other", "same"]
    (folder,) = chosen.folders.values()
    return list(json.loads((data / folder / "meta.json").read_text())["labels"])


def read_rows(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _labelled(chosen: TextSet, data: Path, split: str) -> list[Row]:
    """The rows of every folder, each with its language where there are several."""
    rows: list[Row] = []
    for language, folder in chosen.folders.items():
        found = read_rows(data / folder / f"{split}.jsonl.gz")
        if chosen.most_words is not None:
            found = [row for row in found if len(row["context"].split()) <= chosen.most_words]
        if chosen.same_from is not None:
            found = [_classified(row, same_from=chosen.same_from) for row in found]
        rows += [{**row, "language": language} for row in found] if language else found
    return rows


def _classified(row: Row, *, same_from: float) -> Row:
    same = {"label": int(row["score"] >= same_from)}
    return {key: value for key, value in row.items() if key != "score"} | same


def _encode(chosen: TextSet, rows: Sequence[Row], labels: list[str], reader: Teacher) -> TokenizedSplit:
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    if "tags" in columns:
        index = {label: number for number, label in enumerate(labels)}
        columns["tags"] = [[index[tag] for tag in tags] for tags in columns["tags"]]
    encode = partial(
        encode_columns,
        chosen.task,
        columns,
        max_length=chosen.max_length,
        is_pair="text_pair" in columns,
        labels=len(labels),
    )
    whole = reader.untrimmed
    untrimmed = None if whole is None else encode(tokenizers=whole.tokenizers)
    split = encode(tokenizers=reader.tokenizers, untrimmed=untrimmed)
    return replace(split, languages=columns.get("language"))


def _sample(rows: Sequence[Row], *, per_label: int, seed: int) -> list[Row]:
    labels = np.array([row["label"] for row in rows])
    generator = np.random.default_rng(seed)
    chosen = np.concatenate(
        [
            generator.choice(np.flatnonzero(labels == label), per_label, replace=False)
            for label in np.unique(labels)
        ]
    )
    return [rows[i] for i in generator.permutation(chosen)]


def _as_sst(text: str) -> str:
    """In small letters, punctuation marks apart, as the Stanford treebank has it."""
    return " ".join(re.findall(r"\w+(?:'\w+)?|[^\w\s]", text.lower()))
