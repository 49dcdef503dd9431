"""Models that name things in a text."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

import numpy as np

from app.domain.entity_spans import Tagging
from app.domain.word_splitting import WordSplitter
from app.engine.encoder import OnnxEncoder
from app.engine.tokenizing import TextTokenizer, TokenizedText, WordsInput
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import NamedEntities, NamedEntity, TaggedWord, TaggedWords
from app.inference.predictors.scores import softmax

_LIMITS = RunLimits()
_RULES = WordSplitter()


@dataclass(frozen=True, slots=True)
class TaggingOptions:
    """What is given of a tagged text."""

    groups: bool = True
    """Named entities; False: words with their tags."""
    ignored: Collection[str] = ("O",)
    """Kinds of entities, or tags of words, that are left out."""


@dataclass(frozen=True, slots=True)
class _TaggedText:
    text: WordsInput
    words: list[TaggedWord]
    tags: list[int]
    """Of each word, an index into the labels."""


@dataclass(frozen=True, slots=True)
class _SplitText:
    """A text as the model reads it."""

    text: WordsInput
    tokens: TokenizedText
    places: list[tuple[int, int]]
    """Where the words lie in the text, or in the list of its words; those that the model has no room for are
    left out."""
    first_pieces: list[int]
    """Where they begin in the tokens."""

    def __len__(self) -> int:
        return len(self.tokens)


class Tagger:
    """A tag for each word, read at its first piece, as it was learnt; tags to entities."""

    def __init__(
        self,
        encoder: OnnxEncoder,
        tokenizer: TextTokenizer,
        labels: Sequence[str],
        splitter: WordSplitter = _RULES,
    ) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._labels = labels
        self._tagging = Tagging(labels)
        self._splitter = splitter

    def run_options(self, _inputs: Sequence[WordsInput], _options: TaggingOptions) -> None:
        return None

    def limits(self, _run_options: None) -> RunLimits:
        return _LIMITS

    def encode(self, texts: Sequence[WordsInput]) -> list[_SplitText]:
        places = [self._places(text) for text in texts]
        sentences = [
            [_between(text, start, end) for start, end in words]
            for text, words in zip(texts, places, strict=True)
        ]
        encoded = self._tokenizer.encode_words(sentences)
        return [
            _SplitText(text, tokens, [words[word] for word in firsts], list(firsts.values()))
            for text, words, (tokens, firsts) in zip(texts, places, encoded, strict=True)
        ]

    def _places(self, text: WordsInput) -> list[tuple[int, int]]:
        if isinstance(text, list):
            return [(word, word + 1) for word in range(len(text))]
        return self._splitter.places(text, self._tokenizer.piece_places)

    def run(self, run: Run[_SplitText, None]) -> list[_TaggedText]:
        logits = self._encoder.logits(self._tokenizer.pad([text.tokens for text in run.texts]))
        rows = np.repeat(np.arange(len(run.texts)), [len(text.places) for text in run.texts])
        columns = [piece for text in run.texts for piece in text.first_pieces]
        probabilities = softmax(logits[rows, columns])  # (words of all texts, tags)
        every_tag = iter(probabilities.argmax(axis=1).tolist())
        scores = iter(probabilities.max(axis=1).tolist())
        tagged = []
        for text in run.texts:
            tags = list(islice(every_tag, len(text.places)))
            words = [
                TaggedWord(self._labels[tag], next(scores), _between(text.text, start, end), start, end)
                for tag, (start, end) in zip(tags, text.places, strict=True)
            ]
            tagged.append(_TaggedText(text.text, words, tags))
        return tagged

    def result(self, row: _TaggedText, options: TaggingOptions) -> TaggedWords | NamedEntities:
        if not options.groups:
            return TaggedWords([word for word in row.words if word.tag not in options.ignored])
        return NamedEntities([entity for entity in self._entities(row) if entity.kind not in options.ignored])

    def _entities(self, tagged: _TaggedText) -> Iterator[NamedEntity]:
        for kind, first, after in self._tagging.spans(tagged.tags):
            words = tagged.words[first:after]
            start, end = words[0].start, words[-1].end
            found = _between(tagged.text, start, end)
            yield NamedEntity(kind, fmean(word.score for word in words), found, start, end)


def _between(text: WordsInput, start: int, end: int) -> str:
    found = text[start:end]
    return found if isinstance(found, str) else " ".join(found)
