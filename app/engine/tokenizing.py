"""From texts to the arrays that a session takes."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from tokenizers import Encoding, Tokenizer

from app.engine.padding import IntArray, network_inputs
from app.engine.tokenizer_config import truncation_side

TextInput: TypeAlias = str | tuple[str, str]
"""A text, or a text and its pair."""

WordsInput: TypeAlias = str | list[str]
"""A text, or its words."""


class Question(NamedTuple):
    """What is asked, and where the answer is looked for."""

    question: str
    context: str


Input: TypeAlias = TextInput | WordsInput | Question
"""Whatever a model may be asked for."""


@dataclass(frozen=True, slots=True)
class TokenizedText:
    ids: list[int]
    type_ids: list[int]

    def __len__(self) -> int:
        return len(self.ids)


class TextTokenizer:
    """A tokenizer that cuts texts at a model's length, on its own side, and leaves them unpadded."""

    def __init__(self, tokenizer: Tokenizer, *, max_length: int) -> None:
        self.max_length = max_length
        self._tokenizer = tokenizer
        self._pad_id = pad_id(tokenizer)
        tokenizer.no_padding()  # texts are padded once it is known which ones run together
        tokenizer.enable_truncation(max_length, direction=truncation_side(tokenizer))

    @classmethod
    def from_file(cls, path: Path, *, max_length: int) -> "TextTokenizer":
        """A model's ``tokenizer.json``."""
        return cls(Tokenizer.from_file(str(path)), max_length=max_length)

    def encode(self, texts: Sequence[TextInput]) -> list[TokenizedText]:
        return [TokenizedText(encoding.ids, encoding.type_ids) for encoding in self.encodings(texts)]

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[tuple[TokenizedText, dict[int, int]]]:
        """Tokens of each sentence, and at which one each word begins: see ``first_pieces``."""
        return [
            (TokenizedText(encoding.ids, encoding.type_ids), first_pieces(encoding))
            for encoding in self.word_encodings(sentences)
        ]

    def encodings(self, texts: Sequence[TextInput]) -> list[Encoding]:
        encodings: list[Encoding] = self._tokenizer.encode_batch_fast(list(texts))
        return encodings

    def word_encodings(self, sentences: Sequence[Sequence[str]]) -> list[Encoding]:
        """Tokens of words that are given one by one, each as inside a text: behind a space."""
        if self._marks_spaces:
            sentences = [[f" {word}" for word in words] for words in sentences]
        # Not the fast form, which forgets the words.
        encodings: list[Encoding] = self._tokenizer.encode_batch(
            [list(words) for words in sentences], is_pretokenized=True
        )
        return encodings

    @cached_property
    def _marks_spaces(self) -> bool:
        """Whether a word is other tokens behind a space: some tokenizers write the space at its beginning."""
        word, spaced = (
            self._tokenizer.encode([text], is_pretokenized=True, add_special_tokens=False).ids
            for text in ("a", " a")
        )
        return bool(word != spaced)

    @property
    def spaces_before_words(self) -> int:
        """How many characters stand before each word of ``word_encodings``; offsets count them."""
        return int(self._marks_spaces)

    @property
    def room(self) -> int:
        """Tokens of a text that a model reads at once, beside those that are set around it."""
        return self.max_length - int(self._tokenizer.num_special_tokens_to_add(is_pair=False))

    def parts(self, encoding: Encoding) -> list[Encoding]:
        """An encoding and what was cut off from it, in the order of the text."""
        parts = [encoding, *encoding.overflowing]
        return parts[::-1] if truncation_side(self._tokenizer) == "left" else parts

    def id_of(self, token: str) -> int | None:
        return special_id(self._tokenizer, token)

    def pieces(self, text: str) -> list[int]:
        """Ids of a part of a text, nothing added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def piece_places(self, text: str) -> list[tuple[int, int]]:
        """A text cut where its pieces begin, but before no mark; whole, where one of them is unknown."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        if special_id(self._tokenizer, "[UNK]", "<unk>") in encoding.ids:
            return [(0, len(text))]
        starts = {start for start, end in encoding.offsets if 0 < start < end}
        cuts = sorted(start for start in starts if not unicodedata.category(text[start]).startswith("M"))
        return list(pairwise([0, *cuts, len(text)]))

    def decode(self, texts: Sequence[Sequence[int]], *, skip_special: bool = True) -> list[str]:
        decoded: list[str] = self._tokenizer.decode_batch(list(texts), skip_special_tokens=skip_special)
        return decoded

    def pad(self, texts: Sequence[TokenizedText]) -> dict[str, IntArray]:
        """The inputs of one run: see ``network_inputs``."""
        lengths = np.array([len(text) for text in texts])
        has_types = any(any(text.type_ids) for text in texts)
        return network_inputs(
            _end_to_end([text.ids for text in texts]),
            lengths,
            pad_id=self._pad_id,
            type_ids=_end_to_end([text.type_ids for text in texts]) if has_types else None,
        )


def _end_to_end(rows: Sequence[Sequence[int]]) -> IntArray:
    return np.array(list(chain.from_iterable(rows)), np.int64)


def first_pieces(encoding: Encoding) -> dict[int, int]:
    """At which token each word begins, in the order of the words.

    A word that has no piece, or whose first is cut off, begins nowhere.
    """
    firsts: dict[int, int] = {}
    for piece, word in enumerate(encoding.word_ids):
        if word is not None:
            firsts.setdefault(word, piece)
    return firsts


def pad_id(tokenizer: Tokenizer) -> int:
    """The id that fills up a batch; its positions are masked, so that any id would do."""
    return special_id(tokenizer, "[PAD]", "<pad>") or 0


def special_id(tokenizer: Tokenizer, *names: str) -> int | None:
    """The id of a special token, by whichever name the tokenizer gives it."""
    found = (tokenizer.token_to_id(name) for name in names)
    return next((int(id_) for id_ in found if id_ is not None), None)
