"""From texts to the arrays that a session takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

TextInput: TypeAlias = str | tuple[str, str]
"""A text, or a text and its pair."""


@dataclass(frozen=True, slots=True)
class TokenizedText:
    ids: list[int]
    type_ids: list[int]

    def __len__(self) -> int:
        return len(self.ids)


class TextTokenizer:
    """A model's ``tokenizer.json``, cut at the model's length."""

    def __init__(self, path: Path, *, max_length: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._pad_id = _pad_id(self._tokenizer)
        self._tokenizer.no_padding()  # texts are padded once it is known which ones run together
        self._tokenizer.enable_truncation(max_length)

    def encode(self, texts: Sequence[TextInput]) -> list[TokenizedText]:
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return [TokenizedText(encoding.ids, encoding.type_ids) for encoding in encodings]

    def pad(self, texts: Sequence[TokenizedText]) -> dict[str, npt.NDArray[np.int64]]:
        """The inputs of one run, each (texts, longest), by the names that BERT and its kin use."""
        longest = max(map(len, texts))
        gaps = [longest - len(text) for text in texts]
        columns = {
            "input_ids": [text.ids + [self._pad_id] * gap for text, gap in zip(texts, gaps, strict=True)],
            "attention_mask": [[1] * len(text) + [0] * gap for text, gap in zip(texts, gaps, strict=True)],
            "token_type_ids": [text.type_ids + [0] * gap for text, gap in zip(texts, gaps, strict=True)],
        }
        return {name: np.array(rows, np.int64) for name, rows in columns.items()}


def _pad_id(tokenizer: Tokenizer) -> int:
    """The padding token as the tokenizer was saved with, else by its usual names."""
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    known = (tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>"))
    return next((token_id for token_id in known if token_id is not None), 0)
