"""Schemes of tagging: what each tag of a list says of its token, however the tags are written.

A tag names the type of entity that its token is part of, or is ``O``, outside of any. Schemes differ in the
marks that say where an entity begins and ends:

=========  =======================================================================================
IOB2       ``B`` on the first token, ``I`` on the others
IOB1       ``B`` only where an entity of the same type precedes (Ramshaw and Marcus, 1995)
IOE        ``E`` on the last token, always or only where an entity of the same type follows
BIOES      IOB2 with ``E`` on the last token and ``S`` on a single one; BILOU: ``L`` and ``U``
BMES       BIOES with ``M`` for ``I``; BMEWO: ``M`` and ``W`` for ``I`` and ``S``
IO         the type alone; two entities of a type that follow one another are one
=========  =======================================================================================

They differ in notation, too: ``B-PER``, ``B_PER``, ``B:PER``, ``PER-B``, ``b-per``, or ``B`` without a type.
All of it is told from the whole list: ``E-MAIL`` is a type, but beside ``B-MAIL`` a last token.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

OUTSIDE: Final = "O"
ONLY_TYPE: Final = "ENTITY"
"""The type of entities whose tags name none."""

MARKS: Final = {"B": "B", "S": "B", "U": "B", "W": "B", "I": "I", "M": "I", "E": "I", "L": "I"}
"""What marks a token in IOB2, by what marks it in any scheme."""

_LAST: Final = frozenset("ELSUW")
_EVIDENT: Final = frozenset("BI")
"""Marks that hardly any name of a type begins with: others need more than one tag to be believed."""

_RIVALS: Final = {"M": "I", "W": "SU"}
"""Marks, and those that mean the same in other schemes."""

_INNER_MARK: Final = re.compile(r"(?:^|[^A-Za-z0-9])[BI][-_:]\w")
_BEGINNINGS, _INSIDES = ("BEGIN", "START"), ("INSIDE", "IN-", "IN_")
_SEPARATORS: Final = "-_:/.| "
_COMMON_TYPES: Final = frozenset(
    ("PER", "PERS", "PERSON", "LOC", "LOCATION", "ORG", "ORGANIZATION", "MISC", "GPE", "DATE", ONLY_TYPE)
)


@dataclass(frozen=True)
class Tag:
    """What a tag says of its token."""

    kind: str | None
    """Of the entity; None outside of any."""
    mark: str = ""
    """``B`` on the first token of an entity, ``I`` on another; none where the scheme has no marks."""
    is_last: bool = False
    """Whether the entity ends with the token, so that the next one begins another."""


@dataclass(frozen=True)
class Notation:
    """How a tag is put together from mark and type."""

    separator: str
    mark_comes_first: bool = True

    def split(self, tag: str) -> tuple[str, str] | None:
        """The mark, in capitals, and the type; None where the tag is not written so."""
        head, separator, tail = (
            tag.partition(self.separator) if self.mark_comes_first else tag.rpartition(self.separator)
        )
        mark, kind = (head, tail) if self.mark_comes_first else (tail, head)
        if not separator or not kind.strip() or mark.upper() not in MARKS:
            return None
        return mark.upper(), kind.strip()

    @property
    def example(self) -> str:
        return f"B{self.separator}X" if self.mark_comes_first else f"X{self.separator}B"


_NOTATIONS: Final = tuple(
    Notation(separator, mark_comes_first) for mark_comes_first in (True, False) for separator in _SEPARATORS
)


@dataclass(frozen=True)
class Scheme:
    """What the tags of a list mean."""

    meanings: Mapping[str, Tag | None]
    """By tag; None for one that does not go with the others."""
    marks: frozenset[str] = frozenset()
    """The letters that mark tokens, in capitals."""
    notation: str = "X"
    """How a tag looks, ``X`` being a type: ``B-X``, ``X_B``, ``b-X``, ``B``; ``X`` without marks."""
    doubts: str = ""
    """What the tags may mean as well, in a sentence; empty where they are clear or ``meanings`` has None."""

    @property
    def name(self) -> str:
        """As literature calls it. IOB1 and IOB2 differ in what is tagged, not in tags: ``IOB``."""
        if not self.marks or self.marks == {"I"}:
            return "IO"
        if self.marks <= {"B", "I"}:
            return "IOB"
        if self.marks <= {"I", "E", "L"}:
            return "IOE"
        if "W" in self.marks:
            return "BMEWO" if "I" not in self.marks else "BIEWO"
        if "M" in self.marks:
            return "BMES"
        ends = "".join(mark for mark in "ESLU" if mark in self.marks)
        return "BIOES" if set(ends) <= {"E", "S"} else "BILOU" if set(ends) <= {"L", "U"} else f"BIO{ends}"


def read_scheme(tags: Iterable[str], *, kinds: Collection[str] = (), are_named: bool = False) -> Scheme:
    """What each tag means, given all that stand beside it.

    Args:
        tags: all of a data set or of a model.
        kinds: types of entities that are known to be some.
        are_named: whether somebody has listed the tags: what could be marks or types is taken for types.
    """
    scheme = _read_scheme(list(dict.fromkeys(tags)), kinds, are_named)
    if scheme.doubts or are_named or None in scheme.meanings.values():
        return scheme
    return replace(scheme, doubts=_doubts_of_types(scheme))


def _read_scheme(found: list[str], kinds: Collection[str], are_named: bool) -> Scheme:
    outside = {tag for tag in found if tag.upper() == OUTSIDE}
    inside = [tag for tag in found if tag not in outside]
    none = dict.fromkeys(outside, Tag(None))
    if _are_bare(inside):
        return _bare(inside, none)
    for notation in _NOTATIONS:
        read = _read(inside, notation)
        if read and all(read.values()) and (scheme := _marked(read, notation, none, kinds, are_named)):
            return scheme
    return _mixed(inside, none, are_named) or Scheme(none | {tag: Tag(tag) for tag in inside})


def _doubts_of_types(scheme: Scheme) -> str:
    """What types of entities may be as well."""
    types = [tag.kind for tag in scheme.meanings.values() if tag and tag.kind]
    if inner := [name for name in types if _INNER_MARK.search(name)]:
        return f"{_listed(dict.fromkeys(inner))} may be types of entities or several tags in one"
    words = [name for name in types if name.upper().startswith(_BEGINNINGS)]
    if words and any(name.upper().startswith(_INSIDES) for name in types):
        return f"{_listed(dict.fromkeys(words))} may be types of entities or types with a word for a mark"
    return ""


def complete(tags: Mapping[str, Tag]) -> list[str]:
    """IOB2 tags in the order given: ``O``, and both of each kind."""
    names = [OUTSIDE]
    for name, tag in tags.items():
        if tag.kind is not None:
            pair = [f"B-{tag.kind}", f"I-{tag.kind}"]
            # A list that has both keeps its order.
            names += [name] if tags.keys() >= set(pair) and name in pair else pair
    return list(dict.fromkeys(names))


def _tag(mark: str, kind: str) -> Tag:
    return Tag(kind, MARKS[mark], is_last=mark in _LAST)


def _are_bare(tags: list[str]) -> bool:
    return bool(tags) and all(_bare_mark(tag) in MARKS for tag in tags)


def _bare_mark(tag: str) -> str:
    return tag.strip(_SEPARATORS).upper()


def _bare(tags: list[str], none: Mapping[str, Tag]) -> Scheme:
    """Marks without a type: all entities are of one."""
    marks = frozenset(map(_bare_mark, tags))
    doubts = ""
    if not marks & _EVIDENT or not _go_together(marks):
        doubts = f"{_listed(tags)} may be types of entities or marks of where an entity begins and ends"
    meanings = {tag: _tag(_bare_mark(tag), ONLY_TYPE) for tag in tags}
    return Scheme({**none, **meanings}, marks, _cased("B", tags), doubts)


def _read(tags: list[str], notation: Notation) -> dict[str, tuple[str, str] | None]:
    """Mark and type of each tag; None where a mark does not go with the others."""
    read = {tag: notation.split(tag) for tag in tags}
    marks = frozenset(parts[0] for parts in read.values() if parts)
    strange = {
        mark for mark, others in (("M", "I"), ("W", "SU")) if marks.intersection(others) and mark in marks
    }
    return {tag: None if parts and parts[0] in strange else parts for tag, parts in read.items()}


def _marked(
    read: Mapping[str, tuple[str, str] | None],
    notation: Notation,
    none: Mapping[str, Tag],
    kinds: Collection[str],
    are_named: bool,
) -> Scheme | None:
    """The scheme of tags that are all written alike; None where they are names that only look so."""
    parts = {tag: part for tag, part in read.items() if part}
    marks = frozenset(mark for mark, _ in parts.values())
    types = {kind for _, kind in parts.values()}
    doubts = ""
    if not marks & _EVIDENT and not types <= set(kinds):
        if are_named or _is_a_word(marks, types):
            return None
        is_known = all(kind.upper() in _COMMON_TYPES for kind in types)
        if not is_known and not (len(marks) == 1 and len(types) > 1 and notation.mark_comes_first):
            doubts = f"{_listed(parts)} may be types of entities or types with a mark"
    meanings = {tag: _tag(mark, kind) for tag, (mark, kind) in parts.items()}
    example = _cased(notation.example, list(parts), notation)
    return Scheme({**none, **meanings}, marks, example, doubts)


def _is_a_word(marks: frozenset[str], types: Collection[str]) -> bool:
    """E-MAIL, the one type of many schemes that only looks like a mark."""
    return marks == {"E"} and any(kind.upper().startswith("MAIL") for kind in types)


def _mixed(tags: list[str], none: Mapping[str, Tag], are_named: bool) -> Scheme | None:
    """Tags of which some are marked and some are not; None where no mark is evident."""
    for notation in _NOTATIONS:
        if are_named and not notation.mark_comes_first:
            continue
        read = _read(tags, notation)
        if any(parts and parts[0] in _EVIDENT and _is_capital(tag, notation) for tag, parts in read.items()):
            meanings = {tag: _tag(*parts) if parts else None for tag, parts in read.items()}
            marks = frozenset(parts[0] for parts in read.values() if parts)
            return Scheme({**none, **meanings}, marks, notation.example)
    glued = [tag for tag in tags if tag[:1] == "B" and f"I{tag[1:]}" in tags]
    if any(tag in _EVIDENT for tag in tags) or glued:
        suspects = glued or [tag for tag in tags if tag in _EVIDENT]
        doubts = f"{_listed(suspects)} may be types of entities or marks of where an entity begins"
        return None if are_named else Scheme({**none, **{tag: Tag(tag) for tag in tags}}, doubts=doubts)
    return None


def _is_capital(tag: str, notation: Notation) -> bool:
    return (tag[0] if notation.mark_comes_first else tag[-1]).isupper()


def _go_together(marks: frozenset[str]) -> bool:
    return not any(mark in marks and marks.intersection(others) for mark, others in _RIVALS.items())


def _cased(example: str, tags: Collection[str], notation: Notation | None = None) -> str:
    """The example with its mark in the case that most tags have it in."""
    small = [tag for tag in tags if not _is_capital(tag, notation or Notation(""))]
    return example.replace("B", "b") if len(small) == len(tags) else example


def _listed(tags: Iterable[str], shown: int = 5) -> str:
    names = list(tags)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(map(repr, names[:shown])) + more
