"""Entities as spans of characters, as annotation tools write them, become words and their tags."""

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, pairwise
from typing import Any, Final

from app.domain.tag_schemes import OUTSIDE
from app.domain.words import word_offsets
from app.intake.datasets.cells import kind
from app.intake.datasets.rows import Place

CUT_WORDS: Final = "words cut where an entity begins or ends within"
TRIMMED: Final = "entities without the spaces around them"
MOVED: Final = "entities whose offsets count UTF-16 units"

_STARTS: Final = ("start", "start_offset")
_ENDS: Final = ("end", "end_offset")
_TYPES: Final = ("label", "labels", "type", "tag", "entity", "entity_group", "class")
_TEXTS: Final = ("text", "word")


@dataclass(frozen=True, order=True)
class Entity:
    """``text[start:end]``, and what it is."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class _Text:
    """A text, and where its characters begin in UTF-16, whose units browsers count."""

    text: str

    @cached_property
    def _units(self) -> list[int]:
        return [0, *accumulate(2 if character > "\uffff" else 1 for character in self.text)]

    def offset(self, units: Any) -> int:
        """In characters, of the character that holds a unit."""
        if not isinstance(units, int) or units < 0:
            return 0
        return bisect_right(self._units, units) - 1


def are_spans(value: Any) -> bool:
    """Whether a cell holds what annotators marked; an empty list may be anything."""
    return isinstance(value, list) and all(map(_is_span, value))


def tag_words(
    text: str, spans: Any, place: Place, repaired: Counter[str], tokens: Any = None
) -> tuple[list[str], list[str]]:
    """The words of a text, and a tag in IOB2 for each.

    Args:
        text: where the entities are.
        spans: a list of them, or JSON with one.
        place: of the row, for messages.
        repaired: counts what had to be changed.
        tokens: where words begin and end, if the row tells.

    Raises:
        BadRow: entities overlap, or are none of the text.
    """
    entities = _entities(text, spans, place, repaired)
    words = _told(tokens) or word_offsets(text)
    ends = sorted({offset for entity in entities for offset in (entity.start, entity.end)})
    parts = [_cut(word, ends) for word in words]
    repaired[CUT_WORDS] += sum(len(cut) > 1 for cut in parts)
    pieces = list(chain.from_iterable(parts))
    starts = [start for start, _ in pieces]
    tags = [OUTSIDE] * len(pieces)
    for entity in entities:
        first, stop = bisect_left(starts, entity.start), bisect_left(starts, entity.end)
        for number in range(first, stop):
            tags[number] = f"{'I' if number > first else 'B'}-{entity.type}"
    return [text[start:end] for start, end in pieces], tags


def _entities(text: str, spans: Any, place: Place, repaired: Counter[str]) -> list[Entity]:
    if isinstance(spans, str):
        spans = _parsed(spans)
    if not are_spans(spans):
        raise place.fault(
            "invalid_entities",
            f"the entities are {kind(spans)}. Write a list of [start, end, type], or of objects with start, "
            "end and label.",
        )
    whole = _Text(text)
    found = sorted({_entity(whole, span, place, repaired) for span in spans})
    for before, after in pairwise(found):
        if after.start < before.end:
            raise place.fault(
                "overlapping_entities",
                f"{text[before.start : before.end]!r} ({before.type}) and {text[after.start : after.end]!r} "
                f"({after.type}) overlap. A word has one tag: keep one of them.",
            )
    return found


def _entity(whole: _Text, span: Any, place: Place, repaired: Counter[str]) -> Entity:
    text = whole.text
    start, end, type_, marked = _parts(span)
    if not isinstance(type_, str) or not type_.strip():
        raise place.fault(
            "invalid_entities",
            f"the type of an entity is {kind(type_)}. Export the names of types, not their ids.",
        )
    if isinstance(marked, str) and text[start:end] != marked:
        start, end = whole.offset(start), whole.offset(end)
        if text[start:end] != marked:
            raise place.fault(
                "invalid_entities",
                f"the text has no {marked[:50]!r} where an entity says. Export the annotations again.",
            )
        repaired[MOVED] += 1
    inner = text[start:end]
    if not 0 <= start < end <= len(text) or not inner.strip():
        raise place.fault(
            "invalid_entities",
            f"an entity goes from {start} to {end}, and the text has {len(text)} characters. An entity must "
            "be text[start:end].",
        )
    if inner != inner.strip():
        repaired[TRIMMED] += 1
        start += len(inner) - len(inner.lstrip())
        end = start + len(inner.strip())
    return Entity(start, end, type_.strip())


def _parts(span: Any) -> tuple[Any, Any, Any, Any]:
    """Start, end, type and text."""
    if isinstance(span, list):
        return span[0], span[1], span[2], None
    types = _first(span, _TYPES)
    type_ = types[0] if isinstance(types, list) and len(types) == 1 else types
    return _first(span, _STARTS), _first(span, _ENDS), type_, _first(span, _TEXTS)


def _is_span(item: Any) -> bool:
    if isinstance(item, list):
        return len(item) >= 3 and _are_offsets(item[:2]) and isinstance(item[2], str | int)
    if not isinstance(item, dict):
        return False
    return _are_offsets([_first(item, _STARTS), _first(item, _ENDS)])


def _are_offsets(values: Sequence[Any]) -> bool:
    return all(type(value) is int for value in values)


def _first(span: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((span[name] for name in names if name in span), None)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _told(tokens: Any) -> list[tuple[int, int]]:
    """Where words are, as Prodigy and spaCy write them; none where a row does not tell."""
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        return []
    offsets = [(token.get("start"), token.get("end")) for token in tokens]
    if not all(_are_offsets(pair) and pair[0] < pair[1] for pair in offsets):
        return []
    if any(before[1] > after[0] for before, after in pairwise(offsets)):
        return []
    return offsets


def _cut(word: tuple[int, int], ends: Sequence[int]) -> list[tuple[int, int]]:
    """The parts of a word between the ends of entities, which are sorted."""
    start, stop = word
    return list(pairwise((start, *ends[bisect_right(ends, start) : bisect_left(ends, stop)], stop)))
