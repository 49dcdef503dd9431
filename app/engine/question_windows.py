"""From questions and their contexts, however long, to the windows that a network reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from app.engine.tokenizing import Question, TokenizedText

_MOST_QUESTION_TOKENS = 64
_CONTEXT = 1
"""The second text of a pair."""


@dataclass(frozen=True, slots=True)
class Window:
    """A question with a part of its context."""

    tokens: TokenizedText
    places: list[int]
    """Tokens where the network is asked: the first, which stands for "no answer", and the context's."""
    spans: list[tuple[int, int]]
    """What of the context lies at each place; the first is of no meaning."""

    def __len__(self) -> int:
        return len(self.tokens)


class WindowTokenizer:
    """Cuts contexts into windows of a model's length, of which neighbours share a quarter.

    Questions are cut at a quarter of that length, or 64 tokens.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_length: int) -> None:
        self._questions, self._pairs = (Tokenizer.from_str(tokenizer.to_str()) for _ in range(2))
        self._most = min(_MOST_QUESTION_TOKENS, max(1, max_length // 4))
        for own in (self._questions, self._pairs):
            own.no_padding()
            own.no_truncation()
        self._pairs.enable_truncation(max_length, stride=max_length // 4, strategy="only_second")

    @classmethod
    def from_file(cls, path: Path, *, max_length: int) -> "WindowTokenizer":
        """A model's ``tokenizer.json``."""
        return cls(Tokenizer.from_file(str(path)), max_length=max_length)

    def windows(self, questions: Sequence[Question]) -> list[list[Window]]:
        """Those of each question, in the order of its context."""
        short = self._shortened([question.question for question in questions])
        pairs = [(text, question.context) for text, question in zip(short, questions, strict=True)]
        encodings: list[Encoding] = self._pairs.encode_batch(pairs)
        return [[_window(part) for part in (whole, *whole.overflowing)] for whole in encodings]

    def _shortened(self, questions: Sequence[str]) -> Iterator[str]:
        encodings: list[Encoding] = self._questions.encode_batch(list(questions), add_special_tokens=False)
        for text, encoding in zip(questions, encodings, strict=True):
            yield text[: encoding.offsets[self._most - 1][1]] if len(encoding.ids) > self._most else text


def _window(encoding: Encoding) -> Window:
    there = [
        place
        for place, (of, (start, end)) in enumerate(zip(encoding.sequence_ids, encoding.offsets, strict=True))
        if of == _CONTEXT and start < end
    ]
    return Window(
        TokenizedText(encoding.ids, encoding.type_ids),
        places=[0, *there],
        spans=[(0, 0), *(encoding.offsets[place] for place in there)],
    )
