"""Tags of tokens, whatever scheme they come in (``app.domain.tag_schemes``): IOB2 in the canonical form.

One rule reads them all: an entity begins at a mark of a first token, after one of a last token, and wherever
the kind is not that of the token before. So an ``I-`` after ``O`` becomes ``B-``, as in IOB1 and seqeval.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from app.domain.documents.manifest import Split
from app.domain.documents.table_reading import TagScheme
from app.domain.errors import InvalidRequest
from app.domain.tag_schemes import MARKS, OUTSIDE, Scheme, Tag, complete, read_scheme
from app.intake.datasets.cells import items, kind
from app.intake.datasets.labels import INTEGER, MAX_LABELS, LabelOptions, label_name, some
from app.intake.datasets.notes import Notes
from app.intake.datasets.rows import SHOWN_ROWS, Place, Row

_PRINTED = frozenset("[]'\"")
_NO_TAG: Final = "-"
"""What spaCy writes where an entity and the tokens do not meet."""

_SHOWN_TAGS = 50
_MANY_ROWS = 10


class Tags:
    """A tag for each token of a row.

    Args:
        column: of the tables.
        options: with the names of tags or kinds; whole numbers in the tables are then indices. Default: kinds
            sorted.
        notes: get what is left out and assumed.

    Raises:
        InvalidRequest: what is given are no tags of one scheme.
    """

    name = "tags"
    type = pa.list_(pa.int32())

    def __init__(self, column: str, options: LabelOptions | None = None, notes: Notes | None = None) -> None:
        self._column = column
        self._options = options or LabelOptions()
        self._given = self._options.names
        self._notes = notes or Notes()
        self._order = {} if self._given is None else _tags_of(self._given)
        self._declared: dict[Split, list[str]] = {}
        self._codes: dict[tuple[Split, str | int], int] = {}
        self._written: list[str] = []
        """The name of each code."""
        self._are_numbers: bool | None = None
        self._first: defaultdict[Split, dict[int, Place]] = defaultdict(dict)
        """Where a split has each code first."""
        self._rows: Counter[tuple[Split, bool]] = Counter()
        """Rows by whether they are one token in a cell of text."""
        self._untagged: defaultdict[Split, list[int]] = defaultdict(list)
        """Where rows are that have ``_NO_TAG``."""
        self._scheme = Scheme({})
        self._tags: list[Tag] = []
        """The meaning of each code."""
        self._names: list[str] = []
        self._kinds: list[str] = []
        self._entities: defaultdict[Split, Counter[str]] = defaultdict(Counter)
        self._repaired: Counter[Split] = Counter()
        self._first_marks: Counter[str] = Counter()
        """Tokens marked as first, and those of them that follow an entity of the same kind."""

    def declare(self, split: Split, names: list[str]) -> None:
        """Say what integers of a split stand for, before it is read.

        Raises:
            InvalidRequest: they are no tags of one scheme, or the client's names are others, and not as many.
        """
        if self._given is None:
            self._order = self._order or _tags_of(names)
        self._declared[split] = self._options.for_integers(split, names, self._notes)

    def column_of(self, _row: Row, /) -> str:
        return self._column

    def read(self, row: Row, place: Place, asked: Row, /) -> list[int]:
        tags = items(
            row,
            self._column,
            place,
            absent="Sentences without tags belong in the split 'unlabeled'.",
            are_tags=True,
        )
        tokens = asked["tokens"]
        if len(tags) != len(tokens):
            raise place.fault(
                "misaligned_tags",
                f"{len(tags):,} tags for {len(tokens):,} tokens. Each token needs exactly one tag.",
                tags=len(tags),
                tokens=len(tokens),
            )
        self._rows[place.split, len(tokens) == 1 and isinstance(row[self._column], str)] += 1
        codes = [self._code(tag, place) for tag in tags]
        first = self._first[place.split]
        for code in set(codes) - first.keys():
            first[code] = replace(place)
        if _NO_TAG in tags and len(self._untagged[place.split]) < SHOWN_ROWS:
            self._untagged[place.split].append(place.number)
        return codes

    def take(self, labels: Mapping[str, Place | None]) -> None:
        """Tags that train's rows have not, but their teachers' scores."""
        for tag, found in labels.items():
            place = found or Place("train", unit="row")
            self._first["train"].setdefault(self._code(tag, place), place)

    def spellings(self) -> Mapping[str, int]:
        """The index of each tag as any scheme with marks writes it, once ``settle`` knows them."""
        index = {name: number for number, name in enumerate(self._names)}
        written = zip(self._written, self._tags, strict=True)
        others = {name: f"{tag.mark}-{tag.kind}" if tag.kind else OUTSIDE for name, tag in written}
        for kind_ in self._kinds:
            others |= {f"{mark}-{kind_}": f"{ours}-{kind_}" for mark, ours in MARKS.items()}
        return {name: index[ours] for name, ours in others.items() if ours in index} | index

    def settle(self) -> list[str]:
        self._require_sentences()
        known = {tag.kind for tag in self._order.values() if tag.kind}
        written = [name for name in self._written if name not in self._order and name != _NO_TAG]
        self._scheme = read_scheme(self._written_tags(), kinds=known)
        if self._scheme.doubts and written:
            raise InvalidRequest(
                "unclear_tags",
                f"The tags {self._scheme.doubts}. Write B- and I- before the types, as in B-PER and I-PER, "
                "or list the types in 'labels'.",
                pointer="#/train",
                tags=written[:_SHOWN_TAGS],
            )
        meanings = {**self._scheme.meanings, **self._order}
        self._require_one_scheme(meanings)
        outside = Tag(None)
        self._tags = [meanings.get(name) or outside for name in self._written]
        order = self._order or {kind: Tag(kind) for kind in sorted(self._kinds_of("train"))}
        self._names = complete(order)
        self._kinds = list(dict.fromkeys(tag.kind for tag in order.values() if tag.kind))
        self._require_entities()
        self._require_known()
        self._require_distinct()
        return self._names

    @property
    def order(self) -> str:
        """Where that of the names is from."""
        if self._given is not None:
            return "labels"
        return "class_label" if self._order else "sorted"

    @property
    def scheme(self) -> TagScheme:
        """How the tags were written, once ``finish`` has seen those of all splits."""
        name = self._scheme.name
        if name == "IOB":
            follow = self._first_marks["following"] == self._first_marks["all"]
            name = "IOB1" if follow and self._repaired.total() else "IOB2"
        tags = zip(self._written, self._tags, strict=True)
        return TagScheme(
            name=name,
            notation=self._scheme.notation,
            tags={
                written: _canonical(tag) for written, tag in list(tags)[:_SHOWN_TAGS] if written != _NO_TAG
            },
        )

    def finish(self, codes: Any, split: Split, /) -> tuple[Any, Any]:
        """The tags of each row's codes in IOB2, and which rows have them; entities are counted on the way."""
        has_tags = self._are_tagged(codes)
        if count := len(has_tags) - int(has_tags.sum()):
            reason = f"{self._column!r} has the tag -, no label"
            self._notes.left_out[split].add(reason, self._untagged.pop(split, []), count)
        codes = codes.filter(pa.array(has_tags))
        first = np.array([self._names.index(f"B-{kind}") for kind in self._kinds])
        later = np.array([self._names.index(f"I-{kind}") for kind in self._kinds])
        kind_of = np.array([-1 if tag.kind is None else self._kinds.index(tag.kind) for tag in self._tags])
        mark_of = np.array([tag.mark for tag in self._tags])
        is_last = np.array([tag.is_last for tag in self._tags])

        offsets = np.concatenate([[0], np.cumsum(codes.value_lengths().to_numpy())])
        flat = codes.flatten().to_numpy()
        kinds, marks = kind_of[flat], mark_of[flat]  # (tokens,) each; kind -1 outside
        before, ended = np.roll(kinds, 1), np.roll(is_last[flat], 1)
        before[offsets[:-1]] = -1  # nothing precedes the first token of a row
        begins = (kinds >= 0) & ((marks == "B") | (kinds != before) | ended)
        tags = np.where(kinds < 0, 0, np.where(begins, first[kinds], later[kinds]))

        self._repaired[split] += int((begins & (marks == "I")).sum())
        self._first_marks["all"] += int((marks == "B").sum())
        self._first_marks["following"] += int(((marks == "B") & (kinds == before)).sum())
        entities = np.bincount(kinds[begins], minlength=len(self._kinds))
        self._entities[split].update(dict(zip(self._kinds, entities.tolist(), strict=True)))
        made = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(tags, pa.int32()))
        return made, pa.array(has_tags)

    def summary(self, split: Split) -> dict[str, Any]:
        entities = self._entities[split]
        return {
            "labels": {kind: entities[kind] for kind in self._kinds},
            "repaired_tags": self._repaired[split],
        }

    def _are_tagged(self, codes: Any) -> Any:
        """Which rows have a tag for every token, (rows,)."""
        if self._no_tag is None:
            return np.ones(len(codes), bool)
        counts = codes.value_lengths().to_numpy()
        rows = np.repeat(np.arange(len(counts)), counts)
        tagged = np.ones(len(counts), bool)
        tagged[rows[codes.flatten().to_numpy() == self._no_tag]] = False
        return tagged

    @property
    def _no_tag(self) -> int | None:
        """The code of ``_NO_TAG``, unless it is one of the given names."""
        is_there = _NO_TAG in self._written and _NO_TAG not in self._order
        return self._written.index(_NO_TAG) if is_there else None

    def _written_tags(self) -> list[str]:
        return [name for name in self._written if name != _NO_TAG or name in self._order]

    def _code(self, tag: Any, place: Place) -> int:
        if isinstance(tag, bool) or not isinstance(tag, int | str) or tag == "":
            raise place.fault(
                "invalid_tag", f"a tag is {kind(tag)}. Tags must be names such as B-PER, or integers."
            )
        if isinstance(tag, str):
            tag = tag.strip()  # or every spelling of it would be kept
        code = self._codes.get((place.split, tag))
        if code is None:
            name = self._name_of(tag, place)
            if name not in self._written:
                self._written.append(name)
            code = self._codes[place.split, tag] = self._written.index(name)
            if code == MAX_LABELS:
                raise place.fatal("too_many_labels", f"more than {MAX_LABELS:,} different tags.")
        return code

    def _name_of(self, tag: int | str, place: Place) -> str:
        name = label_name(tag, place)
        if _PRINTED.intersection(name):
            raise place.fault(
                "invalid_tag",
                f"the tag {name!r} looks like part of a printed list. Use JSON Lines with lists, or "
                "separate tags with spaces.",
            )
        names = self._declared.get(place.split) or self._given or []
        is_number = INTEGER.fullmatch(name) is not None and name not in names
        if is_number and place.split in self._declared:
            return self._named(int(name), names, place)
        if self._are_numbers not in (None, is_number):
            raise place.fault(
                "mixed_labels",
                f"the tag is {name!r}: some tags are names and some are integers. Use one of the two.",
            )
        self._are_numbers = is_number
        return self._named(int(name), names, place) if is_number else name

    @staticmethod
    def _named(tag: int, names: list[str], place: Place) -> str:
        if not names:
            raise place.fault(
                "tag_names_required",
                f"the tag {tag} is an integer. List the tag names in 'labels', in order of their index.",
            )
        if not 0 <= tag < len(names):
            raise place.fault(
                "unknown_labels",
                f"the tag {tag} is out of range: 'labels' has {len(names)} tags, starting at 0. List all "
                "tags, in order.",
            )
        return names[tag]

    def _places(self) -> Iterator[tuple[int, Place]]:
        for firsts in self._first.values():
            yield from firsts.items()

    def _kinds_of(self, split: Split) -> set[str]:
        return {name for code in self._first[split] if (name := self._tags[code].kind)}

    def _require_sentences(self) -> None:
        """Tables of a token a row are read as sentences of one token, which nobody means."""
        if not self._rows["train", False] and self._rows["train", True] >= _MANY_ROWS:
            raise InvalidRequest(
                "one_token_rows",
                "Every row of train has a single token. A row must be a sentence: put its tokens and tags "
                "into one row, or write a token and its tag in each line of a .conll file, with a blank line "
                "between sentences.",
                pointer="#/train",
            )

    def _require_one_scheme(self, meanings: dict[str, Tag | None]) -> None:
        strange = [name for name in self._written_tags() if meanings[name] is None]
        for code, place in self._places():
            if (name := self._written[code]) in strange:
                others = f" So are {some(strange[1:])}." if len(strange) > 1 else ""
                raise place.fatal(
                    "mixed_tags",
                    f"the tag {name!r} is neither O nor written as {self._scheme.notation} with a mark, "
                    f"unlike other tags.{others} Use one scheme for all, preferably IOB2: O, B-X and I-X.",
                    tags=strange[:_SHOWN_TAGS],
                )

    def _require_entities(self) -> None:
        names = [self._written[code] for code in self._first["train"]]
        if not any(self._tags[code].kind is None for code in self._first["train"] if code != self._no_tag):
            raise InvalidRequest(
                "no_outside_tag",
                f"No token of train is tagged O; the tags are {some(names)}. Tag tokens outside entities "
                "with O and tokens of entities with B-PER, I-PER and so on.",
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
                raise place.fatal(
                    "unknown_labels",
                    f"the tag {self._written[code]!r} is missing from 'labels'. Add it there or fix the tag.",
                )
            if kind_ is not None and kind_ not in in_train:
                raise place.fatal(
                    "labels_not_in_train",
                    f"the tag {self._written[code]!r} has an entity type that train lacks. Remove these "
                    "rows or add examples to train.",
                )

    def _require_distinct(self) -> None:
        """Refuse types that only capitals tell apart, unless the client lists them; warn of missing ones."""
        if missing := [kind for kind in self._kinds if kind not in self._kinds_of("train")]:
            self._notes.warn(f"No row of train has an entity of type {some(missing)}.")
        same = defaultdict(list)
        for kind_ in self._kinds:
            same[kind_.casefold()].append(kind_)
        for kinds in same.values():
            if len(kinds) > 1 and self._given is None:
                raise InvalidRequest(
                    "unclear_tags",
                    f"The entity types {some(kinds)} differ in capitals alone. Write them alike, or list "
                    "them in 'labels' if they are two.",
                    pointer="#/train",
                    tags=kinds,
                )


def _canonical(tag: Tag) -> str:
    """The tag that is stored for the first token of an entity, and for others where the mark says so."""
    if tag.kind is None:
        return OUTSIDE
    return f"{'I' if tag.mark == 'I' else 'B'}-{tag.kind}"


def _tags_of(names: list[str]) -> dict[str, Tag]:
    """What names mean that somebody has listed."""
    tags = {name: tag for name, tag in read_scheme(names, are_named=True).meanings.items() if tag}
    if len(tags) < len(names) or all(tag.kind is None for tag in tags.values()):
        raise InvalidRequest(
            "invalid_labels",
            f"'labels' do not follow one tagging scheme: {some(names)}. List O, then B- and I- tags of each "
            "entity type.",
            pointer="#/labels",
        )
    return tags
