from collections.abc import Mapping
from typing import Any

from app.domain.tasks.record import TEACHER_SCORES
from worker.contracts import ModelTokenizers, TokenizedSplit
from worker.data.tokenization import tokenize_translations
from worker.tasks.agreement import same_choice_or_tied
from worker.tasks.implementation import TaskImplementation
from worker.tasks.losses import smoothed_cross_entropy, soft_label_loss
from worker.tasks.metrics import nothing_right


def _encode(
    columns: Mapping[str, list[Any]], tokenizers: ModelTokenizers, *, max_length: int, **_options: object
) -> TokenizedSplit:
    return tokenize_translations(
        columns["source"],
        columns.get("target"),
        source_tokenizer=tokenizers.source_tokenizer,
        target_tokenizer=tokenizers.target_tokenizer,
        max_length=max_length,
        written=columns.get(TEACHER_SCORES),
    )


IMPLEMENTATION = TaskImplementation(
    encode=_encode,
    answer_loss=smoothed_cross_entropy,
    soft_loss=soft_label_loss,
    metrics=None,
    baseline=nothing_right,
    agreement=same_choice_or_tied,
)
