from collections.abc import Mapping
from typing import Any

import numpy as np

from app.domain.tasks.record import TEACHER_SCORES
from worker.contracts import FloatArray, ModelTokenizers, TokenizedSplit
from worker.data.tokenization import tokenize_words
from worker.tasks.agreement import same_choice
from worker.tasks.entity_f1 import span_f1
from worker.tasks.implementation import TaskImplementation, Thresholds
from worker.tasks.losses import smoothed_cross_entropy, soft_label_loss
from worker.tasks.metrics import accuracy, label_indices, nothing_right


def _encode(
    columns: Mapping[str, list[Any]], tokenizers: ModelTokenizers, *, max_length: int, **_options: object
) -> TokenizedSplit:
    return tokenize_words(
        columns["tokens"],
        columns.get("tags"),
        tokenizer=tokenizers.source_tokenizer,
        max_length=max_length,
        scores=columns.get(TEACHER_SCORES),
    )


def tagging_metrics(
    split: TokenizedSplit, logits: FloatArray, labels: list[str], _thresholds: Thresholds, /
) -> dict[str, float]:
    """Of named entities, from logits (P, C) of each word: seqeval's span F1, and each language's own."""
    truth, predictions, offsets = label_indices(split), logits.argmax(axis=1), split.position_offsets
    found = span_f1(truth, predictions, offsets, labels=labels)
    languages = split.languages or []
    for language in sorted(set(languages)):
        rows = np.flatnonzero(np.asarray(languages) == language)
        found[f"f1_{language}"] = span_f1(truth, predictions, offsets, labels=labels, rows=rows)["f1"]
    return {**found, "accuracy": accuracy(truth, predictions)}


IMPLEMENTATION = TaskImplementation(
    encode=_encode,
    answer_loss=smoothed_cross_entropy,
    soft_loss=soft_label_loss,
    metrics=tagging_metrics,
    baseline=nothing_right,
    agreement=same_choice,
)
