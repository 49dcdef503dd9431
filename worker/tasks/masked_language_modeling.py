from collections.abc import Mapping
from typing import Any

from worker.contracts import FloatArray, ModelTokenizers, TokenizedSplit
from worker.data.tokenization import tokenize_maskable
from worker.tasks.agreement import same_choice_or_tied
from worker.tasks.implementation import TaskImplementation, Thresholds
from worker.tasks.losses import smoothed_cross_entropy, soft_label_loss
from worker.tasks.metrics import accuracy, label_indices, most_frequent_share


def _encode(
    columns: Mapping[str, list[Any]], tokenizers: ModelTokenizers, *, max_length: int, **_options: object
) -> TokenizedSplit:
    return tokenize_maskable(columns["text"], tokenizer=tokenizers.source_tokenizer, max_length=max_length)


def _metrics(
    split: TokenizedSplit, logits: FloatArray, _labels: list[str], _thresholds: Thresholds, /
) -> dict[str, float]:
    """Of few texts, from logits (P, V); those of a whole split are measured batch by batch."""
    return {"accuracy": accuracy(label_indices(split), logits.argmax(axis=1))}


IMPLEMENTATION = TaskImplementation(
    encode=_encode,
    answer_loss=smoothed_cross_entropy,
    soft_loss=soft_label_loss,
    metrics=_metrics,
    baseline=most_frequent_share,
    agreement=same_choice_or_tied,
)
