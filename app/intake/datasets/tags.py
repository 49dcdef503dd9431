"""Tags of tokens, whatever scheme they come in: IOB2 in the canonical form.

A tag names the kind of entity that its token is part of, or is ``O``, outside of any. Schemes differ in what
marks an entity's first token, which matters where two of a kind follow one another:

=========  =======================================================================================
IOB2       ``B-`` on the first token, ``I-`` on the others
IOB1       ``B-`` only where an entity of the same kind precedes (Ramshaw and Marcus, 1995)
BIOES      IOB2 with ``E-`` on the last token and ``S-`` on a single one; BILOU: ``L-`` and ``U-``
IO         the plain kind; two entities of a kind that follow one another are one
=========  =======================================================================================

One rule reads them all: an entity begins at ``B-``, ``S-`` and ``U-``, and wherever the kind is not that of
the token before. So an ``I-`` after ``O`` becomes ``B-``: IOB1 means that, and seqeval counts a slip so.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.intake.datasets.cells import items, kind
from app.intake.datasets.labels import INTEGER, MAX_LABELS, label_name
from app.intake.datasets.rows import Place, Row

OUTSIDE = "O"
_MARKS = {"B": "B", "S": "B", "U": "B", "I": "I", "E": "I", "L": "I"}
_MARKED = re.compile(r"([BIESLU])-(.+)")
_PRINTED = frozenset("[]'\"")


@dataclass(frozen=True)
class Tag:
    """What a tag says of its token."""

    kind: str | None
    """Of the entity; None outside of any."""
    mark: str = ""
    """``B`` on the first token of an entity, ``I`` on another; none where the scheme has no marks."""


def read_scheme(tags: Iterable[str]) -> dict[str, Tag | None]:
    """What each tag means, given all that stand beside it; None for one that does not go with them."""
    found = list(tags)
    has_marks = any(tag.startswith(("B-", "I-")) for tag in found)
    return {tag: _meaning(tag, has_marks=has_marks) for tag in found}


def _meaning(tag: str, *, has_marks: bool) -> Tag | None:
    if tag == OUTSIDE:
        return Tag(None)
    if not has_marks:
        return Tag(tag)
    match = _MARKED.fullmatch(tag)
    return Tag(match[2], _MARKS[match[1]]) if match else None


def complete(tags: Mapping[str, Tag]) -> list[str]:
    """IOB2 tags in the order given: ``O``, and both of each kind."""
    names = [OUTSIDE]
    for name, tag in tags.items():
        if tag.kind is not None:
            pair = [f"B-{tag.kind}", f"I-{tag.kind}"]
            # A list that has both keeps its order.
            names += [name] if tags.keys() >= set(pair) and name in pair else pair
    return list(dict.fromkeys(names))


class Tags:
    """A tag for each token of a row.

    Args:
        column: of the tables.
        given: tags or kinds in order; whole numbers in the tables are then indices. Default: kinds sorted.

    Raises:
        InvalidRequest: what is given are no tags of one scheme.
    """

    name = "tags"
    type = pa.list_(pa.int32())

    def __init__(self, column: str, given: list[str] | None) -> None:
        self._column = column
        self._given = given
        self._order = {} if given is None else _given_tags(given)
        self._codes: dict[str | int, int] = {}
        self._written: list[str] = []
        """The name of each code."""
        self._are_numbers: bool | None = None
        self._first: defaultdict[Split, dict[int, Place]] = defaultdict(dict)
        """Where a split has each code first."""
        self._tags: list[Tag] = []
        """The meaning of each code."""
        self._names: list[str] = []
        self._kinds: list[str] = []
        self._entities: defaultdict[Split, Counter[str]] = defaultdict(Counter)
        self._repaired: Counter[Split] = Counter()

    def read(self, row: Row, place: Place, asked: Row, /) -> list[int]:
        tags = items(
            row, self._column, place, absent="Sentences without tags belong in the split 'unlabeled'."
        )
        tokens = asked["tokens"]
        if len(tags) != len(tokens):
            raise place.fault(
                "misaligned_tags",
                f"{len(tags):,} tags for {len(tokens):,} tokens. Each token needs exactly one tag.",
                tags=len(tags),
                tokens=len(tokens),
            )
        codes = [self._code(tag, place) for tag in tags]
        first = self._first[place.split]
        for code in set(codes) - first.keys():
            first[code] = replace(place)
        return codes

    def take(self, labels: Mapping[str, Place | None]) -> None:
        """Tags that train's rows have not, but their teachers' scores."""
        for tag, found in labels.items():
            place = found or Place("train", unit="row")
            self._first["train"].setdefault(self._code(tag, place), place)

    def spellings(self) -> Mapping[str, int]:
        """The index of each tag as any scheme with marks writes it, once ``settle`` knows them."""
        index = {name: number for number, name in enumerate(self._names)}
        for name in self._kinds:
            index |= {f"{mark}-{name}": index[f"{ours}-{name}"] for mark, ours in _MARKS.items()}
        return index

    def settle(self) -> list[str]:
        scheme = read_scheme(self._written) | self._order
        for code, place in self._places():
            if scheme[self._written[code]] is None:
                raise place.fault(
                    "mixed_tags",
                    f"the tag {self._written[code]!r} is neither O nor prefixed with B- or I-, unlike other "
                    "tags. Use one scheme for all tags, preferably IOB2.",
                )
        self._tags = [tag for name in self._written if (tag := scheme[name])]
        order = self._order or {kind: Tag(kind) for kind in sorted(self._kinds_of("train"))}
        self._names = complete(order)
        self._kinds = list(dict.fromkeys(tag.kind for tag in order.values() if tag.kind))
        self._require_entities()
        self._require_known()
        return self._names

    def finish(self, codes: Any, split: Split, /) -> Any:
        """The tags of each row's codes in IOB2, (rows,) lists; entities are counted on the way."""
        first = np.array([self._names.index(f"B-{kind}") for kind in self._kinds])
        later = np.array([self._names.index(f"I-{kind}") for kind in self._kinds])
        kind_of = np.array([-1 if tag.kind is None else self._kinds.index(tag.kind) for tag in self._tags])
        mark_of = np.array([tag.mark for tag in self._tags])

        offsets = np.concatenate([[0], np.cumsum(codes.value_lengths().to_numpy())])
        flat = codes.flatten().to_numpy()
        kinds, marks = kind_of[flat], mark_of[flat]  # (tokens,) each; kind -1 outside
        before = np.roll(kinds, 1)
        before[offsets[:-1]] = -1  # nothing precedes the first token of a row
        begins = (kinds >= 0) & ((marks == "B") | (kinds != before))
        tags = np.where(kinds < 0, 0, np.where(begins, first[kinds], later[kinds]))

        self._repaired[split] += int((begins & (marks == "I")).sum())
        entities = np.bincount(kinds[begins], minlength=len(self._kinds))
        self._entities[split].update(dict(zip(self._kinds, entities.tolist(), strict=True)))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(tags, pa.int32()))

    def summary(self, split: Split) -> dict[str, Any]:
        entities = self._entities[split]
        return {
            "labels": {kind: entities[kind] for kind in self._kinds},
            "repaired_tags": self._repaired[split],
        }

    def _code(self, tag: Any, place: Place) -> int:
        if isinstance(tag, bool) or not isinstance(tag, int | str) or tag == "":
            raise place.fault(
                "invalid_tag", f"a tag is {kind(tag)}. Tags must be names such as B-PER, or integers."
            )
        if isinstance(tag, str):
            tag = tag.strip()  # or every spelling of it would be kept
        code = self._codes.get(tag)
        if code is None:
            name = self._name_of(tag, place)
            if name not in self._written:
                self._written.append(name)
            code = self._codes[tag] = self._written.index(name)
            if code == MAX_LABELS:
                raise place.fault("too_many_labels", f"more than {MAX_LABELS:,} different tags.")
        return code

    def _name_of(self, tag: int | str, place: Place) -> str:
        name = label_name(tag, place)
        if _PRINTED.intersection(name):
            raise place.fault(
                "invalid_tag",
                f"the tag {name!r} looks like part of a printed list. Use JSON Lines with lists, or "
                "separate tags with spaces.",
            )
        names = self._given or []
        is_number = INTEGER.fullmatch(name) is not None and name not in names
        if self._are_numbers not in (None, is_number):
            raise place.fault(
                "mixed_labels",
                f"the tag is {name!r}: some tags are names and some are integers. Use one of the two.",
            )
        self._are_numbers = is_number
        if not is_number:
            return name
        if not names:
            raise place.fault(
                "tag_names_required",
                f"the tag {name} is an integer. List the tag names in 'labels', in order of their index.",
            )
        if not 0 <= int(name) < len(names):
            raise place.fault(
                "unknown_labels",
                f"the tag {name} is out of range: 'labels' has {len(names)} tags, starting at 0. List all "
                "tags, in order.",
            )
        return names[int(name)]

    def _places(self) -> Iterator[tuple[int, Place]]:
        for firsts in self._first.values():
            yield from firsts.items()

    def _kinds_of(self, split: Split) -> set[str]:
        return {name for code in self._first[split] if (name := self._tags[code].kind)}

    def _require_entities(self) -> None:
        if OUTSIDE not in (self._written[code] for code in self._first["train"]):
            raise InvalidRequest(
                "no_outside_tag",
                "No token of train is tagged O. Tag tokens outside entities with O and tokens of entities "
                "with B-PER, I-PER and so on.",
                pointer="#/train",
            )
        if not self._kinds_of("train"):
            raise InvalidRequest(
                "too_few_labels",
                "Every tag of train is O. Tag some entities; untagged sentences belong in the split "
                "'unlabeled'.",
                pointer="#/train",
            )

    def _require_known(self) -> None:
        in_train = self._kinds_of("train")
        for code, place in self._places():
            kind_ = self._tags[code].kind
            if kind_ is not None and self._order and kind_ not in self._kinds:
                raise place.fault(
                    "unknown_labels",
                    f"the tag {self._written[code]!r} is missing from 'labels'. Add it there or fix the tag.",
                )
            if kind_ is not None and kind_ not in in_train:
                raise place.fault(
                    "labels_not_in_train",
                    f"the tag {self._written[code]!r} has an entity type that train lacks. Remove these "
                    "rows or add examples to train.",
                )


def _given_tags(given: list[str]) -> dict[str, Tag]:
    tags = {name: tag for name, tag in read_scheme(given).items() if tag}
    if len(tags) < len(given) or all(tag.kind is None for tag in tags.values()):
        raise InvalidRequest(
            "invalid_labels",
            "'labels' do not follow one tagging scheme. List O, then B- and I- tags of each entity type.",
            pointer="#/labels",
        )
    return tags
