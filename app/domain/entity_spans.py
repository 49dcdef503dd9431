"""Named entities as spans of words, and the tags of any scheme that say where they lie.

The rules are seqeval's default ones, which those of the CoNLL script are: a tag I-X that does not go on an
entity X begins one.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from app.domain.tag_schemes import Tag, read_scheme

_ON_ONE_WORD: Final = (("B", True), ("B", False), ("I", True), ("I", False), ("", False))
_ON_THE_FIRST: Final = (("B", False), ("I", False), ("", False), ("B", True), ("I", True))
_ON_THE_LAST: Final = (("I", True), ("I", False), ("", False), ("B", False), ("B", True))
_BETWEEN: Final = (("I", False), ("", False), ("I", True), ("B", False), ("B", True))
"""Mark and end of the tags for a word of an entity, the best first: schemes have some of them only."""

_NONE: Final = Tag(None)


class Span(NamedTuple):
    """An entity: its kind, its first word, and the one after its last."""

    kind: str
    start: int
    end: int


class Tagging:
    """The tags of a model or a data set, in the order of their index.

    Args:
        labels: of one scheme, with a tag for words outside of entities.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        meanings = read_scheme(labels, are_named=True).meanings
        self._meanings = [meanings[label] or Tag(label) for label in labels]
        self._outside = next((i for i, tag in enumerate(self._meanings) if tag.kind is None), 0)
        self._by_meaning = {
            (tag.kind, tag.mark, tag.is_last): index for index, tag in enumerate(self._meanings)
        }

    @property
    def kinds(self) -> list[str]:
        """Of entities, in the order of their first tags."""
        return list(dict.fromkeys(tag.kind for tag in self._meanings if tag.kind is not None))

    def spans(self, tags: Iterable[int]) -> Iterator[Span]:
        """The entities of one sentence, from the indices of its tags."""
        before, start = _NONE, 0
        for word, tag in enumerate((*(self._meanings[index] for index in tags), _NONE)):
            goes_on = tag.kind == before.kind and tag.mark != "B" and not before.is_last
            if before.kind is not None and not goes_on:
                yield Span(before.kind, start, word)
            if not goes_on:
                start = word
            before = tag

    def tags(self, spans: Iterable[Span], words: int) -> list[int]:
        """The indices of the tags of one sentence, from its entities, whose kinds all have tags here.

        A scheme without marks cannot tell entities of a kind that follow one another: they become one.
        """
        tags = [self._outside] * words
        for kind, start, end in spans:
            if end - start == 1:
                tags[start] = self._tag(kind, _ON_ONE_WORD)
                continue
            tags[start] = self._tag(kind, _ON_THE_FIRST)
            tags[start + 1 : end - 1] = [self._tag(kind, _BETWEEN)] * (end - start - 2)
            tags[end - 1] = self._tag(kind, _ON_THE_LAST)
        return tags

    def _tag(self, kind: str, wanted: Iterable[tuple[str, bool]]) -> int:
        found = (self._by_meaning.get((kind, *meaning)) for meaning in wanted)
        return next(index for index in found if index is not None)
