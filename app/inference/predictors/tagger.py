"""Models that name things in a text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar, NamedTuple

import numpy as np

from app.domain.entity_spans import spans
from app.engine.network import OnnxNetwork
from app.engine.tokenizing import TextInput, TokenizedText
from app.inference.parameters import TokenClassificationParameters
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.scores import softmax
from app.inference.predictors.words import word_places
from app.inference.schemas import Entity, EntityGroup

_LIMITS = RunLimits()


class _Word(NamedTuple):
    """A word of a text, and what the model says of it."""

    start: int
    end: int
    tag: str
    score: float


@dataclass(frozen=True, slots=True)
class _TaggedText:
    text: str
    words: list[_Word]


@dataclass(frozen=True, slots=True)
class _SplitText:
    """A text as the model reads it."""

    text: str
    tokens: TokenizedText
    places: list[tuple[int, int]]
    """Where the words lie in the text; those that the model has no room for are left out."""
    first_pieces: list[int]
    """Where they begin in the tokens."""

    def __len__(self) -> int:
        return len(self.tokens)


class Tagger:
    """A tag for each word, read at its first piece, as it was learnt; tags to entities."""

    takes_pairs: ClassVar[bool] = False
    answers_one_alone: ClassVar[bool] = True

    def __init__(self, network: OnnxNetwork, labels: Sequence[str]) -> None:
        self._network = network
        self._labels = labels

    def options(self, _inputs: Sequence[TextInput], _parameters: TokenClassificationParameters) -> None:
        return None

    def limits(self, _options: None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[str]) -> list[_SplitText]:
        places = [word_places(text) for text in texts]
        sentences = [
            [text[start:end] for start, end in words] for text, words in zip(texts, places, strict=True)
        ]
        encoded = self._network.tokenizer.encode_words(sentences)
        return [
            _SplitText(text, tokens, [words[word] for word in firsts], list(firsts.values()))
            for text, words, (tokens, firsts) in zip(texts, places, encoded, strict=True)
        ]

    def run(self, run: Run[_SplitText, None]) -> list[_TaggedText]:
        logits = self._network.logits([text.tokens for text in run.texts])
        rows = np.repeat(np.arange(len(run.texts)), [len(text.places) for text in run.texts])
        columns = [piece for text in run.texts for piece in text.first_pieces]
        probabilities = softmax(logits[rows, columns])  # (words of all texts, tags)
        tags = iter(probabilities.argmax(axis=1).tolist())
        scores = iter(probabilities.max(axis=1).tolist())
        return [
            _TaggedText(
                text.text,
                [_Word(start, end, self._labels[next(tags)], next(scores)) for start, end in text.places],
            )
            for text in run.texts
        ]

    def answer(
        self, row: _TaggedText, parameters: TokenClassificationParameters
    ) -> list[Entity] | list[EntityGroup]:
        ignored = parameters.ignore_labels
        if parameters.aggregation_strategy == "none":
            return [_entity(row.text, word) for word in row.words if word.tag not in ignored]
        return [group for group in _groups(row) if group["entity_group"] not in ignored]


def _entity(text: str, word: _Word) -> Entity:
    start, end, tag, score = word
    return {"entity": tag, "score": score, "word": text[start:end], "start": start, "end": end}


def _groups(tagged: _TaggedText) -> Iterator[EntityGroup]:
    for kind, first, after in spans([word.tag for word in tagged.words]):
        words = tagged.words[first:after]
        start, end = words[0].start, words[-1].end
        yield {
            "entity_group": kind,
            "score": fmean(word.score for word in words),
            "word": tagged.text[start:end],
            "start": start,
            "end": end,
        }
