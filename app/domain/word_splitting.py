"""Running text as the words that a data set of named entities has."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final, TypeAlias

import regex

Span: TypeAlias = tuple[int, int]
Segment: TypeAlias = Callable[[str], Sequence[Span]]
"""The words of a text without spaces, end to end."""

_WIDE = r"\u3001-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff3d\uff5b-\uff65"
_SIGNS = (
    r"[!-/:-@\[-^`{-~\u00a1\u00ab\u00b7\u00bb\u00bf\u2010-\u2027\u2030-\u205e"
    r"\u060c\u061b\u061f\u06d4\u0964\u0965" + _WIDE + "]"
)
"""Punctuation and signs: of ASCII, of typography, and the stops and commas of other scripts."""

_INNER: Final = "-.@&/'\u2019"
"""Signs that join letters to one word, unless the data say otherwise."""

_PART = rf"(?:(?!{_SIGNS})\S)+"
_APOSTROPHE = r"['\u2019]"
_SIGN = re.compile(_SIGNS)
_WIDE_SIGN = re.compile(f"[{_WIDE}]")
_WORD = re.compile(
    rf"[@#]?{_PART}(?:(?!{_APOSTROPHE}s\b)[{_INNER}]{_PART}|[,:]\d+)*"  # f.eks, O'Brien, 10:30, @someone
    rf"|{_APOSTROPHE}s\b"  # Oslo's are two words
    r"|(\S)\1*"  # a sign, or the same again and again
)
_UNSPACED: Final[Mapping[str, "regex.Pattern[str]"]] = {
    "east_asian": regex.compile(
        r"(?V1)[[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Bopomofo}]&&[\p{L}\p{M}\p{N}]]+"
    ),
    # Of complex context, as Unicode's line breaking calls them: Thai, Lao, Khmer, Burmese and others.
    "south_east_asian": regex.compile(r"\p{Line_Break=SA}+"),
}
"""Runs of letters of scripts that set no spaces between words."""

_SPACED: Final = "spaced"
"""All other scripts."""

_ANY_UNSPACED = regex.compile("|".join(f"(?P<{name}>{run.pattern})" for name, run in _UNSPACED.items()))

_CLOSING = frozenset(".,;:!?%)]}\u00bb\u201d\u2019\u2026\u060c\u061b\u061f\u06d4\u0964")
_OPENING = frozenset("([{\u00ab\u201c\u2018\u201e\u00bf\u00a1")
_CLITIC = re.compile(rf"(?:{_APOSTROPHE}\w{{1,2}}|n{_APOSTROPHE}t)\Z", re.IGNORECASE)

_MOST_PARTS = 8
"""Of a word that the data keep whole; those of more are split as any text."""
_LONGEST_UNSPACED = 16
_MOST_WORDS = 20_000
"""That are recorded of a data set."""
_FEW = 2
"""Sightings from which a word or a shape counts."""
_NEARLY_ALL = 0.9
_HARDLY_EVER = 0.02
_RECORD_VERSION = 1

RECORD: Final = "words.json"
"""Of a tagger's folder: how the words of its training data are split, see ``WordSplitter.to_json``."""


@dataclass(frozen=True)
class WordSplitter:
    """How a data set's words lie in running text: by rules, and by what its training rows show otherwise."""

    whole: frozenset[str] = frozenset()
    """Words with punctuation that the data keep in one: ``U.S.``, ``St.``."""
    parted: frozenset[str] = frozenset()
    """Those of a whole shape that they do not."""
    whole_shapes: frozenset[str] = frozenset()
    """See ``_shape``: ``X.`` where initials keep their full stop."""
    apart: frozenset[str] = frozenset()
    """Signs of ``_INNER`` that the data set between words: ``/`` where ``Oslo/Bergen`` are three."""
    unspaced: frozenset[str] = frozenset()
    """Words in scripts without spaces."""
    characters: frozenset[str] = frozenset({"east_asian"})
    """Of ``_UNSPACED`` and ``_SPACED``, those whose every character is a word."""

    def places(self, text: str, segment: Segment | None = None) -> list[Span]:
        """Where words begin and end.

        Args:
            text: as people write it.
            segment: for scripts without spaces of which the data have no words; default: such a run of
                letters is one word.

        Of the words of the Danish, Norwegian, Romanian and Swahili data all but 0.8, 0.3, 1.9 and 0.01 % are
        one word by the rules alone.

        >>> text = "Oslo's O'Brien, f.eks. 10:30..."
        >>> [text[start:end] for start, end in WordSplitter().places(text)]
        ['Oslo', "'s", "O'Brien", ',', 'f.eks', '.', '10:30', '...']
        """
        if text.isascii():
            return self._spaced_words(text, 0, len(text))
        found: list[Span] = []
        at = 0
        for run in _ANY_UNSPACED.finditer(text):
            found += self._spaced_words(text, at, run.start())
            found += self._unspaced_words(text, *run.span(), script=str(run.lastgroup), segment=segment)
            at = run.end()
        return found + self._spaced_words(text, at, len(text))

    def _spaced_words(self, text: str, start: int, end: int) -> list[Span]:
        if _SPACED in self.characters:
            return [(at, at + 1) for at in range(start, end) if not text[at].isspace()]
        parts = [word.span() for word in _WORD.finditer(text, start, end)]
        if self.apart:
            parts = [place for part in parts for place in self._at_signs(text, *part)]
        return list(self._joined(text, parts)) if self.whole or self.whole_shapes else parts

    def _unspaced_words(
        self, text: str, start: int, end: int, *, script: str, segment: Segment | None
    ) -> Iterator[Span]:
        if script in self.characters:
            return ((at, at + 1) for at in range(start, end))
        if self.unspaced or segment is None:
            return self._known_words(text, start, end)
        return ((start + first, start + after) for first, after in segment(text[start:end]))

    def _at_signs(self, text: str, start: int, end: int) -> Iterator[Span]:
        at = start
        for sign in range(start + 1, end - 1):
            if text[sign] in self.apart and text[sign - 1].isalnum() and text[sign + 1].isalnum():
                yield at, sign
                yield sign, sign + 1
                at = sign + 1
        yield at, end

    def _joined(self, text: str, parts: Sequence[Span]) -> Iterator[Span]:
        """The longest words that the data keep whole, from left to right."""
        first = 0
        while first < len(parts):
            start, end = parts[first]
            after = first + 1
            chunk = after
            while chunk < min(len(parts), first + _MOST_PARTS) and parts[chunk][0] == parts[chunk - 1][1]:
                chunk += 1
            for stop in range(chunk, after, -1):
                if self._keeps_whole(text[start : parts[stop - 1][1]]):
                    after, end = stop, parts[stop - 1][1]
                    break
            yield start, end
            first = after

    def _keeps_whole(self, word: str) -> bool:
        return word in self.whole or (word not in self.parted and _shape(word) in self.whole_shapes)

    def _known_words(self, text: str, start: int, end: int) -> Iterator[Span]:
        """The data's words in a run of letters, and what lies between them."""
        ends = self._best_ends(text, start, end)
        at = unknown = start
        while at < end:
            if after := ends[at - start]:
                if at > unknown:
                    yield unknown, at
                yield at, after
                unknown = after
            at = after or at + 1
        if end > unknown:
            yield unknown, end

    def _best_ends(self, text: str, start: int, end: int) -> list[int]:
        """Where a word from each character on ends, 0 where none begins.

        So that as few characters as possible are in no known word, then as few words as possible are needed.
        """
        costs = [(0, 0)] * (end - start + 1)  # (characters in no known word, words) of the rest of the text
        ends = [0] * (end - start)
        for at in range(end - 1, start - 1, -1):
            unknown, words = costs[at + 1 - start]
            best = (unknown + 1, words)
            for after in range(at + 1, min(end, at + self._longest) + 1):
                if text[at:after] in self.unspaced:
                    unknown, words = costs[after - start]
                    if (unknown, words + 1) < best:
                        best, ends[at - start] = (unknown, words + 1), after
            costs[at - start] = best
        return ends

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.unspaced), default=0)

    @classmethod
    def learnt(cls, sentences: Sequence[Sequence[str]]) -> "WordSplitter":
        """From the words of a data set's training rows."""
        characters, unspaced = _unspaced_words(sentences)
        apart = _signs_apart(sentences)
        whole, parted = _kept_and_parted(sentences, cls(apart=apart, characters=frozenset()))
        shapes: Counter[str] = Counter()
        for words, sign in ((whole, 1), (parted, -1)):
            for word, count in words.items():
                shapes[_shape(word)] += sign * count
        whole_shapes = frozenset(shape for shape, excess in shapes.items() if excess >= _FEW)
        kept = Counter(
            {
                word: count
                for word, count in whole.items()
                if count > parted[word] and count >= _FEW and _shape(word) not in whole_shapes
            }
        )
        exceptions = Counter(
            {
                word: count
                for word, count in parted.items()
                if count > whole[word] and count >= _FEW and _shape(word) in whole_shapes
            }
        )
        return cls(
            whole=_frequent(kept),
            parted=_frequent(exceptions),
            whole_shapes=whole_shapes,
            apart=apart,
            unspaced=_frequent(unspaced),
            characters=characters,
        )

    @classmethod
    def from_json(cls, stored: bytes | str) -> "WordSplitter":
        """What ``to_json`` wrote."""
        record = json.loads(stored)
        if record.pop("version") != _RECORD_VERSION:
            raise ValueError("the record of a data set's words is of a later version of this service")
        return cls(**{name: frozenset(values) for name, values in record.items()})

    def to_json(self) -> str:
        record = {name: sorted(values) for name, values in asdict(self).items()}
        return json.dumps({"version": _RECORD_VERSION, **record}, ensure_ascii=False)


def _shape(word: str) -> str:
    """``U.S.`` is ``X.X.``, ``Sept.`` is ``Xxxx.``: kinds of characters, a run of one no longer than four."""
    kinds = (
        "d" if char.isdigit() else ("X" if char.isupper() else "x") if char.isalpha() else char
        for char in word
    )
    return re.sub(r"(.)\1{4,}", r"\1\1\1\1", "".join(kinds))


def _signs_apart(sentences: Sequence[Sequence[str]]) -> frozenset[str]:
    """Signs that stand between words and hardly ever within one."""
    within: Counter[str] = Counter()
    between: Counter[str] = Counter()
    for sentence in sentences:
        for word in sentence:
            if not word.isalnum():
                within.update(set(_INNER).intersection(word[1:-1]))
        for before, sign, after in zip(sentence, sentence[1:], sentence[2:], strict=False):
            if len(sign) == 1 and sign in _INNER and before[-1:].isalnum() and after[:1].isalnum():
                between[sign] += 1
    return frozenset(
        sign
        for sign, count in between.items()
        if count >= _FEW and within[sign] <= _HARDLY_EVER * (count + within[sign])
    )


def _kept_and_parted(
    sentences: Sequence[Sequence[str]], rules: WordSplitter
) -> tuple[Counter[str], Counter[str]]:
    """Words that the rules would split, and what touches in the data's text without being one word."""
    whole: Counter[str] = Counter()
    parted: Counter[str] = Counter()
    for sentence in sentences:
        for word in sentence:
            if not word.isalnum() and 1 < len(rules.places(word)) <= _MOST_PARTS and not _spaced(word):
                whole[word] += 1
        text, places = running_text(sentence)
        for (start, middle), (beyond, end) in pairwise(places):
            if middle == beyond:
                parted[text[start:end]] += 1
    return whole, parted


def _spaced(word: str) -> bool:
    return any(char.isspace() for char in word)


def _unspaced_words(sentences: Sequence[Sequence[str]]) -> tuple[frozenset[str], Counter[str]]:
    """Scripts whose every character is a word, and the words of the others with their counts."""
    words: dict[str, Counter[str]] = {script: Counter() for script in _UNSPACED}
    for sentence in sentences:
        for word in sentence:
            if not word.isascii() and (run := _ANY_UNSPACED.fullmatch(word)):
                words[str(run.lastgroup)][word] += 1
    characters = {
        script
        for script, counts in words.items()
        if (
            sum(count for word, count in counts.items() if len(word) == 1) >= _NEARLY_ALL * counts.total()
            and (counts or script in WordSplitter().characters)
        )
    }
    if _is_in_characters(sentences):
        characters.add(_SPACED)
    others = (counts for script, counts in words.items() if script not in characters)
    known: Counter[str] = Counter()
    for counts in others:
        known.update({word: count for word, count in counts.items() if len(word) <= _LONGEST_UNSPACED})
    return frozenset(characters), known


def _is_in_characters(sentences: Sequence[Sequence[str]]) -> bool:
    """Whether Latin letters and digits are given one by one, too, as in many data sets of Chinese."""
    words = [word for sentence in sentences for word in sentence if word.isascii() and word.isalnum()]
    side_by_side = sum(
        len(left) == len(right) == 1 and left.isalnum() and right.isalnum() and (left + right).isascii()
        for sentence in sentences
        for left, right in pairwise(sentence)
    )
    return side_by_side >= _FEW and sum(len(word) == 1 for word in words) >= _NEARLY_ALL * len(words)


def _frequent(words: Counter[str]) -> frozenset[str]:
    return frozenset(word for word, _ in words.most_common(_MOST_WORDS))


def running_text(words: Sequence[str]) -> tuple[str, list[Span]]:
    """Words as people write them one after the other, and where each lies in that text.

    >>> running_text(["(", "Oslo", "'s", "mayor", ")", ",", "李", "丽"])[0]
    "(Oslo's mayor), 李丽"
    """
    text, places = "", []
    before, is_open = "", False
    for word in words:
        is_quote = word in {'"', "'", "``", "''"}
        closes = _CLOSING.issuperset(word) or (is_quote and is_open) or _CLITIC.match(word) is not None
        opened = _OPENING.issuperset(before) if before else True
        if not (closes or opened or _are_unspaced(before, word)):
            text += " "
        places.append((len(text), len(text) + len(word)))
        text += word
        before = word
        if is_quote:
            before, is_open = ("(" if not is_open else word), not is_open
    return text, places


def _are_unspaced(before: str, word: str) -> bool:
    """Whether no space is set between them: by their scripts, or by a stop that is as wide as a letter."""
    pair = (before[-1:], word[:1])
    if any(map(_WIDE_SIGN.match, pair)):
        return True
    known = [_ANY_UNSPACED.match(char) is not None for char in pair]
    return any(known) and all(
        is_known or _SIGN.match(char) is not None for is_known, char in zip(known, pair, strict=True)
    )
