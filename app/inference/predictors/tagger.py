"""Models that name things in a text."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from statistics import fmean
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from app.domain.entity_spans import Tagging
from app.domain.word_splitting import WordSplitter
from app.engine.encoder import OnnxEncoder
from app.engine.tokenizing import TextTokenizer, TokenizedText, WordsInput
from app.engine.word_windows import WordWindow, word_windows
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.predictor import Run, RunLimits
from app.inference.predictors.results import NamedEntities, NamedEntity, TaggedWord, TaggedWords
from app.inference.predictors.scores import softmax

_LIMITS = RunLimits()
_RULES = WordSplitter()

_Probabilities: TypeAlias = npt.NDArray[np.float64]

Aggregation: TypeAlias = Literal["none", "simple", "first", "average", "max", "words"]
"""How tags of pieces become those of words and entities, by the names that transformers gives.

none: each piece has its tag. simple: neighbouring pieces that agree are an entity. first, average and max
give each word one tag, from its first piece, the mean of its pieces, or the surest of them. Transformers lack
words: each has its tag, as with first, and they are not joined.
"""


@dataclass(frozen=True, slots=True)
class TaggingOptions:
    """What is given of a tagged text."""

    aggregation: Aggregation = "first"
    """As it was learnt, unless another is asked for."""
    ignored: Collection[str] = ("O",)
    """Kinds of entities, or tags of pieces, that are left out."""
    stride: int | None = None
    """Tokens that neighbouring windows of a long text share; None: longer texts are cut off."""


class _Reading(NamedTuple):
    """How a run reads its texts."""

    aggregation: Aggregation = "first"
    stride: int | None = None


_AS_LEARNT = _Reading()
_BY_PIECE = ("none", "simple")
_APART = ("none", "words")
_UNKNOWN = ("[UNK]", "<unk>")


@dataclass(frozen=True, slots=True)
class _Window:
    """A text, or a part of it, as the model reads it: words, or their pieces, that are to have a tag."""

    tokens: TokenizedText
    places: list[tuple[int, int]]
    """Where they lie in the text, or in the list of its words; those that the model has no room for are left
    out."""
    asked: list[int]
    """Tokens that tags are read from."""
    firsts: list[int] | None = None
    """Where in these each word begins; None: each has one."""
    names: list[str | None] | None = None
    """Of pieces that the vocabulary has."""


@dataclass(frozen=True, slots=True)
class _SplitText:
    text: WordsInput
    windows: list[_Window]

    def __len__(self) -> int:
        return sum(len(window.tokens) for window in self.windows)


class _TaggedWindow(NamedTuple):
    words: list[TaggedWord]
    tags: list[int]
    """Of each word, an index into the labels."""


@dataclass(frozen=True, slots=True)
class _TaggedText:
    text: WordsInput
    windows: list[_TaggedWindow]


class Tagger:
    """A tag for each word, read at its first piece, as it was learnt, or in another way; tags to entities."""

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

    def run_options(self, _inputs: Sequence[WordsInput], options: TaggingOptions) -> _Reading:
        """Raises ``InvalidArgument`` where windows cannot have this stride."""
        if options.stride is not None and options.stride >= self._tokenizer.room:
            raise InvalidArgument(
                "stride_too_large",
                f"stride is {options.stride:,}; a window of this model holds {self._tokenizer.room:,} tokens "
                "of a text. Give a smaller one.",
                argument="stride",
                stride=options.stride,
                room=self._tokenizer.room,
            )
        aggregation = "first" if options.aggregation == "words" else options.aggregation
        return _Reading(aggregation, options.stride)

    def limits(self, reading: _Reading) -> RunLimits:
        return _LIMITS._replace(reads_whole=reading.stride is not None)

    def encode(self, texts: Sequence[WordsInput], reading: _Reading) -> list[_SplitText]:
        places = [self._places(text) for text in texts]
        sentences = [
            [_between(text, start, end) for start, end in words]
            for text, words in zip(texts, places, strict=True)
        ]
        if reading == _AS_LEARNT:
            encoded = self._tokenizer.encode_words(sentences)
            return [
                _SplitText(text, [_Window(tokens, [words[word] for word in firsts], list(firsts.values()))])
                for text, words, (tokens, firsts) in zip(texts, places, encoded, strict=True)
            ]
        found = word_windows(self._tokenizer, sentences, stride=reading.stride)
        return [
            _SplitText(text, [_window(text, window, words, reading.aggregation) for window in windows])
            for text, words, windows in zip(texts, places, found, strict=True)
        ]

    def _places(self, text: WordsInput) -> list[tuple[int, int]]:
        if isinstance(text, list):
            return [(word, word + 1) for word in range(len(text))]
        return self._splitter.places(text, self._tokenizer.piece_places)

    def run(self, run: Run[_SplitText, _Reading]) -> list[_TaggedText]:
        """All texts at once; long ones, of which there are windows, in as many steps as bound its memory."""
        windows = [(number, window) for number, text in enumerate(run.texts) for window in text.windows]
        longest = max(len(window.tokens) for _, window in windows)
        size = len(windows) if len(windows) == len(run.texts) else max(1, _LIMITS.most // longest)
        tagged = [_TaggedText(text.text, []) for text in run.texts]
        for begin in range(0, len(windows), size):
            some = [
                (tagged[number], window)
                for number, window in windows[begin : begin + size]
                if run.is_wanted(number)
            ]
            for text, found in zip(some, self._tag(some, run.options.aggregation), strict=True):
                text[0].windows.append(found)
        return tagged

    def _tag(
        self, read: Sequence[tuple[_TaggedText, _Window]], aggregation: Aggregation
    ) -> Iterator[_TaggedWindow]:
        if not read:
            return
        probabilities = self._probabilities([window for _, window in read], aggregation)
        every_tag = iter(probabilities.argmax(axis=1).tolist())
        scores = iter(probabilities.max(axis=1).tolist())
        for text, window in read:
            tags = list(islice(every_tag, len(window.places)))
            names = window.names
            words = [
                TaggedWord(
                    self._labels[tag],
                    next(scores),
                    (names and names[number]) or _between(text.text, start, end),
                    start,
                    end,
                    None if names is None else window.asked[number],
                )
                for number, (tag, (start, end)) in enumerate(zip(tags, window.places, strict=True))
            ]
            yield _TaggedWindow(words, tags)

    def _probabilities(self, windows: Sequence[_Window], aggregation: Aggregation) -> _Probabilities:
        """(words or pieces of all windows, tags)."""
        logits = self._encoder.logits(self._tokenizer.pad([window.tokens for window in windows]))
        counts = [len(window.asked) for window in windows]
        rows = np.repeat(np.arange(len(windows)), counts)
        columns = [piece for window in windows for piece in window.asked]
        probabilities = softmax(logits[rows, columns])
        if all(window.firsts is None for window in windows):
            return probabilities
        begins = accumulate(counts, initial=0)
        firsts = [
            begin + first
            for begin, window in zip(begins, windows, strict=False)
            for first in window.firsts or range(len(window.asked))
        ]
        return _of_words(probabilities, np.array(firsts, np.intp), aggregation)

    def result(self, row: _TaggedText, options: TaggingOptions) -> TaggedWords | NamedEntities:
        if options.aggregation in _APART:
            words = [word for window in row.windows for word in window.words]
            return TaggedWords([word for word in words if word.tag not in options.ignored])
        entities = [
            entity
            for window in row.windows
            for entity in self._entities(row.text, window)
            if entity.kind not in options.ignored
        ]
        return NamedEntities(entities if len(row.windows) == 1 else _without_overlaps(entities))

    def _entities(self, text: WordsInput, window: _TaggedWindow) -> Iterator[NamedEntity]:
        for kind, first, after in self._tagging.spans(window.tags):
            words = window.words[first:after]
            start, end = words[0].start, words[-1].end
            found = _between(text, start, end)
            yield NamedEntity(kind, fmean(word.score for word in words), found, start, end)


def _window(
    text: WordsInput, window: WordWindow, places: Sequence[tuple[int, int]], aggregation: Aggregation
) -> _Window:
    """Of a text or of given words, which are never cut into pieces."""
    pieces = window.pieces
    if isinstance(text, str) and aggregation in _BY_PIECE:
        return _Window(
            window.tokens,
            [(places[piece.word][0] + piece.start, places[piece.word][0] + piece.end) for piece in pieces],
            list(range(window.begin, window.begin + len(pieces))),
            names=[None if piece.name in _UNKNOWN else piece.name for piece in pieces],
        )
    firsts = [
        number for number, piece in enumerate(pieces) if not number or piece.word != pieces[number - 1].word
    ][window.is_cut :]
    begin = firsts[0] if firsts else len(pieces)
    return _Window(
        window.tokens,
        [places[pieces[first].word] for first in firsts],
        list(range(window.begin + begin, window.begin + len(pieces))),
        firsts=[first - begin for first in firsts],
    )


def _of_words(
    probabilities: _Probabilities, firsts: npt.NDArray[np.intp], aggregation: Aggregation
) -> _Probabilities:
    """(pieces, tags) -> (words, tags), given where in the pieces each word begins."""
    if aggregation not in ("average", "max") or not len(firsts):
        return probabilities[firsts]
    counts = np.diff([*firsts, len(probabilities)])
    if aggregation == "average":
        means: _Probabilities = np.add.reduceat(probabilities, firsts) / counts[:, None]
        return means
    words = np.repeat(np.arange(len(firsts)), counts)
    surest_first = np.lexsort((-probabilities.max(axis=1), words))
    return probabilities[surest_first[firsts]]


def _without_overlaps(entities: Sequence[NamedEntity]) -> list[NamedEntity]:
    """Of entities that overlap, as windows do, the longer one, or the surer one."""
    kept: list[NamedEntity] = []
    for entity in sorted(entities, key=lambda entity: entity.start):
        if not kept or entity.start >= kept[-1].end:
            kept.append(entity)
        elif _weight(entity) > _weight(kept[-1]):
            kept[-1] = entity
    return kept


def _weight(entity: NamedEntity) -> tuple[int, float]:
    return entity.end - entity.start, entity.score


def _between(text: WordsInput, start: int, end: int) -> str:
    found = text[start:end]
    return found if isinstance(found, str) else " ".join(found)
