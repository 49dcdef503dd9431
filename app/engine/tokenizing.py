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
        self.max_length = max_length

    def encode(self, texts: Sequence[TextInput]) -> list[TokenizedText]:
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return [TokenizedText(encoding.ids, encoding.type_ids) for encoding in encodings]

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[tuple[TokenizedText, dict[int, int]]]:
        """Tokens of each sentence, and at which one each word begins.

        A word that has no piece, or whose first is cut off, begins nowhere.
        """
        # Not the fast form, which forgets the words.
        encodings = self._tokenizer.encode_batch([list(words) for words in sentences], is_pretokenized=True)
        return [
            (TokenizedText(encoding.ids, encoding.type_ids), _first_pieces(encoding.word_ids))
            for encoding in encodings
        ]

    def id_of(self, token: str) -> int | None:
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def pieces(self, text: str) -> list[int]:
        """Ids of a part of a text, nothing added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, texts: Sequence[Sequence[int]], *, skip_special: bool = True) -> list[str]:
        decoded: list[str] = self._tokenizer.decode_batch(list(texts), skip_special_tokens=skip_special)
        return decoded

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


def _first_pieces(word_ids: Sequence[int | None]) -> dict[int, int]:
    firsts: dict[int, int] = {}
    for piece, word in enumerate(word_ids):
        if word is not None:
            firsts.setdefault(word, piece)
    return firsts


def _pad_id(tokenizer: Tokenizer) -> int:
    """The padding token as the tokenizer was saved with, else by its usual names."""
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    known = (tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>"))
    return next((token_id for token_id in known if token_id is not None), 0)
