"""What predictors answer of one input, before any protocol gives it a form."""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt


class LabelScore(NamedTuple):
    """A label and its probability."""

    label: str
    score: float
    passes: bool | None = None
    """Whether the score reaches the label's threshold; None where one label is chosen among all."""


class RankedLabels(NamedTuple):
    """The labels of a text or a pair, best first."""

    labels: Sequence[LabelScore]
    tokens: int
    """Of the text, as the model reads it."""
    model: str | None = None
    """Which of an endpoint's models answered, where it has a fallback."""
    confidence: float = 0.0
    """Probability of the likeliest label, whatever scores are; 0 where each label is decided by itself."""


class Number(NamedTuple):
    """A number, on the scale of the data set that the model learnt."""

    value: float


class TaggedWord(NamedTuple):
    """A word, or a piece of one, which is ``text[start:end]``, with its tag.

    Where the input is a list of words, ``start`` and ``end`` count words, in entities too.
    """

    tag: str
    score: float
    word: str
    start: int
    end: int
    token: int | None = None
    """Of a piece, its number among the tokens of the text."""


class TaggedWords(NamedTuple):
    """The words of a text, or their pieces, in its order."""

    words: Sequence[TaggedWord]


class NamedEntity(NamedTuple):
    """A named entity, which is ``text[start:end]``, with the mean score of its words."""

    kind: str
    score: float
    word: str
    start: int
    end: int


class NamedEntities(NamedTuple):
    """The named entities of a text in its order."""

    entities: Sequence[NamedEntity]


class MaskFill(NamedTuple):
    """A word of the vocabulary in the place of the mask, and the text with it."""

    token_id: int
    token: str
    score: float
    sequence: str


class MaskFills(NamedTuple):
    """The words for the mask of a text, best first."""

    fills: Sequence[MaskFill]


class TranslatedText(NamedTuple):
    """A text in the other language."""

    text: str


class FoundAnswer(NamedTuple):
    """An answer, which is ``context[start:end]``, with its probability; empty where there is none."""

    score: float
    start: int
    end: int
    text: str


NO_ANSWER: Final = FoundAnswer(0.0, 0, 0, "")


class FoundAnswers(NamedTuple):
    """The answers to a question, best first."""

    answers: Sequence[FoundAnswer]
    is_one: bool
    """Whether just the best was asked for."""

    @property
    def best(self) -> FoundAnswer:
        return next(iter(self.answers), NO_ANSWER)


class Vector(NamedTuple):
    """Where a text lies in a model's space."""

    values: npt.NDArray[np.float32]
    tokens: int
    """Of the text, as the model reads it."""


Result: TypeAlias = (
    RankedLabels | Number | TaggedWords | NamedEntities | MaskFills | TranslatedText | FoundAnswers | Vector
)
