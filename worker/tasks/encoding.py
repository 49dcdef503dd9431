"""From the columns of a canonical split to a model's tokens."""

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.tasks.record import TEACHER_SCORES
from worker.contracts import LabelArray, ModelTokenizers, TokenizedSplit
from worker.data.tokenization import tokenize
from worker.tasks.implementation import Encode


def texts_with(target: str, read: Callable[[list[Any], int], LabelArray]) -> Encode:
    """Texts or pairs of texts, and what a column says of each.

    Args:
        target: the column.
        read: makes an array of its values; also gets how many labels there are.
    """

    def encode(
        columns: Mapping[str, list[Any]],
        tokenizers: ModelTokenizers,
        *,
        max_length: int,
        token_types: bool,
        labels: int,
    ) -> TokenizedSplit:
        values = columns.get(target)
        return tokenize(
            columns["text"],
            columns.get("text_pair"),
            None if values is None else read(values, labels),
            tokenizer=tokenizers.source_tokenizer,
            max_length=max_length,
            token_types=token_types,
            scores=columns.get(TEACHER_SCORES),
        )

    return encode
