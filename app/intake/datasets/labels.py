"""Labels of texts: names or whole numbers in a table, indices into a list of names in the canonical form."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.intake.datasets.cells import cell, kind
from app.intake.datasets.given import LabelType
from app.intake.datasets.notes import Notes
from app.intake.datasets.rows import SHOWN_ROWS, LeftOutRow, Place, Row

MAX_LABELS = 1000
MAX_LABEL_CHARACTERS = 200
SHOWN = 5
INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
ELSEWHERE = "Rows without a label belong in the split 'unlabeled'."

_FLOAT = re.compile(r"[+-]?\d+\.\d*(?:[eE][+-]?\d+)?", re.ASCII)
_MIN_LABELS = 2
_TOO_MANY = f"more than {MAX_LABELS:,} different labels, the limit of text_classification."
_NO_LABEL: Final = frozenset(("-", "-1"))
"""What sets of the hub write where annotators gave no label or did not agree on one."""

LIKE_NULL: Final = frozenset(("nan", "null", "none", "na", "n/a", "<na>", "#n/a", "\\n"))
_TRUTHS: Final = {"true": True, "false": False}


@dataclass(frozen=True)
class LabelOptions:
    """What a client says of the labels of a data set."""

    names: list[str] | None = None
    """In order; whole numbers in the tables are then indices. Default: sorted."""
    type: LabelType | None = None
    """What labels are besides names and integers."""

    def for_integers(self, split: Split, names: list[str], notes: Notes) -> list[str]:
        """What integers of a split stand for: the client's names, or else those that its file has.

        Raises:
            InvalidRequest: the client's names are others, and not as many.
        """
        if self.names is None or set(names) <= set(self.names):
            return names
        if len(self.names) != len(names):
            raise InvalidRequest(
                "labels_mismatch",
                f"'labels' has {len(self.names)} names, and the file of {split} names {len(names)} for its "
                f"integers: {some(names)}. Omit 'labels', or list as many.",
                pointer="#/labels",
            )
        notes.warn(f"'labels' replaces the names that the file of {split} has: {some(names)}.")
        return self.names


class Labels:
    """One label a row.

    Args:
        column: of the tables.
        options: what the client says of them.
        notes: get what is left out and assumed.
    """

    name = "label"
    type: pa.DataType = pa.int32()
    may_lack = _NO_LABEL
    """Labels that may stand for none."""

    def __init__(self, column: str, options: LabelOptions | None = None, notes: Notes | None = None) -> None:
        self._column = column
        self._options = options or LabelOptions()
        self._notes = notes or Notes()
        self._declared: dict[Split, list[str]] = {}
        self._codes: dict[str, int] = {}
        self._counts: defaultdict[Split, Counter[str]] = defaultdict(Counter)
        self._types: defaultdict[str, set[type]] = defaultdict(set)
        """By name."""
        self._first: defaultdict[tuple[Split, str], list[int]] = defaultdict(list)
        """Where labels are that may stand for none."""
        self._are_lists: dict[Split, bool] = {}
        self._names: list[str] = []
        self._index: dict[str, int] = {}

    def declare(self, split: Split, names: list[str]) -> None:
        """Say what integers of a split stand for, before it is read.

        Raises:
            InvalidRequest: the client's names are others, and not as many.
        """
        self._declared[split] = self._options.for_integers(split, names, self._notes)

    def column_of(self, _row: Row, /) -> str:
        return self._column

    def read(self, row: Row, place: Place, _asked: Row, /) -> Any:
        """A code."""
        label = cell(row, self._column, place, absent=ELSEWHERE)
        are_lists = self._are_lists.setdefault(place.split, isinstance(label, list))
        if are_lists and isinstance(label, list):
            if len(label) > 1:
                raise place.fault(
                    "several_labels",
                    f"{self._column!r} has {len(label):,} labels. Use the task multi_label_classification.",
                )
            if not label:
                raise LeftOutRow(f"{self._column!r} is an empty list")
            [label] = label
        return self._code(label, place)

    def _code(self, label: Any, place: Place) -> int:
        """Of one label, which is counted."""
        label = self._plain(label, place)
        name = label_name(label, place)
        self._counts[place.split][name] += 1
        self._types[name].add(type(label))
        if name in self.may_lack and len(first := self._first[place.split, name]) < SHOWN_ROWS:
            first.append(place.number)
        code = self._codes.setdefault(name, len(self._codes))
        if code == MAX_LABELS:
            raise place.fatal("too_many_labels", _TOO_MANY)
        return code

    def take(self, labels: Mapping[str, Place | None]) -> None:
        """Labels that train's rows have not, but their teachers' scores."""
        for label, place in labels.items():
            name = label if place is None else label_name(label, place)
            self._counts["train"].setdefault(name, 0)
            if place is not None and len(self._counts["train"]) > MAX_LABELS:
                raise place.fatal("too_many_labels", _TOO_MANY)

    def spellings(self) -> Mapping[str, int]:
        """The index of each label as it may be written, once ``settle`` knows them."""
        return self._index | {name: index for index, name in enumerate(self._names)}

    def _plain(self, label: Any, place: Place) -> int | str:
        """A name or an integer."""
        label = label.strip() if isinstance(label, str) else label
        if type(label) is int and place.split in self._declared:
            return self._declared_name(label, place)
        if isinstance(label, bool | float) or (self._options.type and isinstance(label, str)):
            label = self._as_said(label)
        if isinstance(label, bool | float) or not isinstance(label, int | str) or label == "":
            raise place.fault("invalid_label", f"the label is {kind(label)}. {self._advice(label)}")
        return label

    def _declared_name(self, label: int, place: Place) -> str:
        names = self._declared[place.split]
        if label == -1:
            raise LeftOutRow(f"{self._column!r} is -1, no label")
        if not 0 <= label < len(names):
            raise place.fault(
                "unknown_labels", f"the label {label} is out of range: the file names {len(names)} labels."
            )
        return names[label]

    def _as_said(self, label: Any) -> Any:
        """A boolean or a float as a name or an integer, where the client says that labels are such."""
        names, type_ = self._options.names, self._options.type
        if isinstance(label, str):
            truth = _TRUTHS.get(label.lower()) if type_ == "boolean" else None
            label = float(label) if type_ == "float" and _FLOAT.fullmatch(label) else label
            label = label if truth is None else truth
        if isinstance(label, bool):
            spelled = [name for name in names or () if _TRUTHS.get(name.lower()) is label]
            if spelled:
                return spelled[0]
            if type_ == "boolean":
                return str(label).lower() if names is None else int(label)
        if isinstance(label, float):
            if names is not None and str(label) in names:
                return str(label)
            if type_ == "float" and label.is_integer():
                return int(label) if names is not None else str(int(label))
            if type_ == "float":
                return str(label)
        return label

    def _advice(self, label: Any) -> str:
        if isinstance(label, bool):
            return "Labels must be names or integers; true and false are some if label_type is 'boolean'."
        if isinstance(label, float):
            return "Labels must be names or integers; other numbers are some if label_type is 'float'."
        return f"Labels must be names or integers. {ELSEWHERE}"

    def settle(self) -> list[str]:
        self._leave_out()
        self._require_one_type()
        self._names, self._index = self._resolve(set(self._counts["train"]))
        self._warn()
        return self._names

    def _require_one_type(self) -> None:
        names = sorted(name for name, types in self._types.items() if str in types)
        integers = sorted(name for name, types in self._types.items() if int in types)
        if names and integers:
            raise InvalidRequest(
                "mixed_labels",
                f"Some labels are names ({some(names)}) and some are integers ({some(integers)}). Use one of "
                "the two.",
            )

    @property
    def order(self) -> str:
        """Where that of the names is from."""
        if self._options.names is not None:
            return "labels"
        return "class_label" if "train" in self._declared else "sorted"

    def finish(self, codes: Any, _split: Split, /) -> tuple[Any, Any]:
        """The index of each code, (rows,), and which rows have one."""
        indices = self._indices(codes)
        has_one = pa.array(indices.to_numpy() >= 0)
        return indices.filter(has_one), has_one

    def _indices(self, codes: Any) -> Any:
        index = np.array([self._index.get(name, -1) for name in self._codes], np.int32)
        return pa.array(index[codes.to_numpy()])

    def summary(self, split: Split) -> dict[str, Any]:
        found = {self._names[self._index[label]]: n for label, n in self._counts[split].items()}
        return {"labels": dict.fromkeys(self._names, 0) | found}

    def _leave_out(self) -> None:
        """Forget labels that stand for none."""
        for name in self._without_label():
            del self._types[name]
            for split, counts in self._counts.items():
                if count := counts.pop(name, 0):
                    reason = f"{self._column!r} is {name}, no label"
                    self._notes.left_out[split].add(reason, self._first[split, name], count)

    def _without_label(self) -> set[str]:
        """Of ``may_lack``, those that are no labels, as the others tell."""
        found = set(self._types) & self.may_lack - set(self._options.names or ())
        others = set(self._types) - found
        if "-" in found and "+" in others:
            found.remove("-")
        if "-1" in found and not self._is_no_label(others):
            found.remove("-1")
        return found

    def _is_no_label(self, others: Collection[str]) -> bool:
        """Whether -1 is none, beside these. In -1, 0, 1 it is the negative one of three more often."""
        if not all(map(INTEGER.fullmatch, others)):
            return False
        if self._options.names is not None or "-1" not in self._counts["train"]:
            return True
        numbers = sorted(map(int, others))
        if numbers != list(range(len(numbers))):
            return False
        if numbers == [0, 1]:
            self._notes.warn(
                "-1 is read as a label beside 0 and 1. If it means that there is no label, list the names of "
                "0 and 1 in 'labels'."
            )
        return len(numbers) > _MIN_LABELS

    def _warn(self) -> None:
        """Of names that are hardly meant."""
        in_train = self._counts["train"]
        found = {self._names[self._index[label]] for label in in_train}
        if missing := [name for name in self._names if name not in found]:
            self._notes.warn(f"No row of train has the label {some(missing)}, which {self._source} names.")
        if nulls := [name for name in self._names if name.lower() in LIKE_NULL]:
            self._notes.warn(
                f"{some(nulls)} is read as a label like any other. If it means none, leave it empty."
            )
        same = defaultdict(list)
        for name in self._names:
            same[name.casefold()].append(name)
        for names in same.values():
            if len(names) > 1:
                self._notes.warn(f"The labels {some(names)} differ in capitals alone.")

    @property
    def _source(self) -> str:
        return "'labels'" if self._options.names is not None else "the file"

    def _resolve(self, found: set[str]) -> tuple[list[str], dict[str, int]]:
        """The names in order, and the index of each label as the tables write it."""
        names, index = self._ordered(found)
        if len(names) < _MIN_LABELS or len(found) < _MIN_LABELS:
            has = f"only the label {min(found)!r}" if found else "no label"
            raise InvalidRequest(
                "too_few_labels",
                f"train has {has}. A classifier needs at least two.",
                pointer="#/train",
            )
        if strangers := sorted(found - set(index)):
            raise InvalidRequest(
                "unknown_labels",
                f"train has labels that are missing from 'labels': {self._counted(strangers, 'train')}. List "
                "all labels, in order.",
                pointer="#/labels",
                unknown=strangers[:SHOWN],
            )
        self._require_known(found, index)
        return names, index

    def _ordered(self, found: set[str]) -> tuple[list[str], dict[str, int]]:
        are_integers = all(map(INTEGER.fullmatch, found))
        if (given := self._options.names) is not None:
            are_indices = set().union(*self._types.values()) == {int}
            by_index = are_indices or (are_integers and not found <= set(given))
            index = {name: i for i, name in enumerate(given) if not by_index or name in found}
            return given, index | {str(i): i for i in range(len(given)) if by_index}
        if any(map(_FLOAT.fullmatch, found)) and all(map(_is_number, found)) and not self._options.type:
            raise InvalidRequest(
                "invalid_label",
                f"The labels of train are numbers with a decimal point: {some(sorted(found))}. Write names "
                "or integers, or set label_type to 'float'.",
                pointer="#/train",
            )
        if declared := self._declared.get("train"):
            names = list(dict.fromkeys([*declared, *sorted(found)]))
        elif are_integers:
            names = sorted(found, key=int)
        else:
            names = sorted(found, key=float if all(map(_is_number, found)) else None)
        return names, {name: i for i, name in enumerate(names)}

    def _require_known(self, found: set[str], index: Mapping[str, int]) -> None:
        known = {index[label] for label in found}
        for split, counts in self._counts.items():
            if strangers := sorted(label for label in counts if index.get(label) not in known):
                raise InvalidRequest(
                    "labels_not_in_train",
                    f"{split} has labels that train lacks: {self._counted(strangers, split)}. Remove these "
                    "rows or add examples to train.",
                    pointer=f"#/{split}",
                    unknown=strangers[:SHOWN],
                )

    def _counted(self, names: Sequence[str], split: Split) -> str:
        rows = sum(self._counts[split][name] for name in names)
        return f"{some(names)} ({rows:,} {'row' if rows == 1 else 'rows'})"


def label_name(label: int | str, place: Place) -> str:
    """A label or tag as a name that can be shown; spaces around it, which cannot be seen, are none of it.

    Raises:
        InvalidRequest: it is too long, or empty, or holds what cannot be printed.
    """
    name = str(label).strip()
    if not name or not name.isprintable() or len(name) > MAX_LABEL_CHARACTERS:
        raise place.fault(
            "invalid_label", f"a label must have 1 to {MAX_LABEL_CHARACTERS} printable characters."
        )
    return name


def some(labels: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(map(repr, labels[:SHOWN])) + more


def _is_number(name: str) -> bool:
    return bool(INTEGER.fullmatch(name) or _FLOAT.fullmatch(name))
