"""Labels of texts: names or whole numbers in a table, indices into a list of names in the canonical form."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.intake.datasets.cells import cell, kind
from app.intake.datasets.rows import Place, Row

MAX_LABELS = 1000
MAX_LABEL_CHARACTERS = 200
SHOWN = 5
INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_MIN_LABELS = 2
_TOO_MANY = f"more than {MAX_LABELS:,} different labels, the limit of text_classification."
ELSEWHERE = "Rows without a label belong in the split 'unlabeled'."


class Labels:
    """One label a row.

    Args:
        column: of the tables.
        given: the names in order; whole numbers in the tables are then indices. Default: sorted.
    """

    name = "label"
    type: pa.DataType = pa.int32()

    def __init__(self, column: str, given: list[str] | None) -> None:
        self._column = column
        self._given = given
        self._codes: dict[str, int] = {}
        self._counts: defaultdict[Split, Counter[str]] = defaultdict(Counter)
        self._types: defaultdict[Split, set[type]] = defaultdict(set)
        self._names: list[str] = []
        self._index: dict[str, int] = {}

    def read(self, row: Row, place: Place, _asked: Row, /) -> Any:
        """A code."""
        return self._code(cell(row, self._column, place, absent=ELSEWHERE), place)

    def _code(self, label: Any, place: Place) -> int:
        """Of one label, which is counted."""
        if isinstance(label, str):
            label = label.strip()
        if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
            raise place.fault(
                "invalid_label",
                f"the label is {kind(label)}. Labels must be names or integers. {ELSEWHERE}",
            )
        name = label_name(label, place)
        self._counts[place.split][name] += 1
        self._types[place.split].add(type(label))
        code = self._codes.setdefault(name, len(self._codes))
        if code == MAX_LABELS:
            raise place.fault("too_many_labels", _TOO_MANY)
        return code

    def take(self, labels: Mapping[str, Place | None]) -> None:
        """Labels that train's rows have not, but their teachers' scores."""
        for label, place in labels.items():
            name = label if place is None else label_name(label, place)
            self._counts["train"].setdefault(name, 0)
            if place is not None and len(self._counts["train"]) > MAX_LABELS:
                raise place.fault("too_many_labels", _TOO_MANY)

    def spellings(self) -> Mapping[str, int]:
        """The index of each label as it may be written, once ``settle`` knows them."""
        return self._index | {name: index for index, name in enumerate(self._names)}

    def settle(self) -> list[str]:
        if len(set().union(*self._types.values())) > 1:
            raise InvalidRequest(
                "mixed_labels", "Some labels are names and some are integers. Use one of the two."
            )
        self._names, self._index = self._resolve(set(self._counts["train"]))
        return self._names

    def finish(self, codes: Any, _split: Split, /) -> Any:
        """The index of each code, (rows,)."""
        return self._indices(codes)

    def _indices(self, codes: Any) -> Any:
        index = np.array([self._index[name] for name in self._codes], np.int32)
        return pa.array(index[codes.to_numpy()])

    def summary(self, split: Split) -> dict[str, Any]:
        found = {self._names[self._index[label]]: n for label, n in self._counts[split].items()}
        return {"labels": dict.fromkeys(self._names, 0) | found}

    def _resolve(self, found: set[str]) -> tuple[list[str], dict[str, int]]:
        """The names in order, and the index of each label as the tables write it."""
        are_integers = all(INTEGER.fullmatch(label) for label in found)
        if self._given is None:
            names = sorted(found, key=int) if are_integers else sorted(found)
            index = {name: i for i, name in enumerate(names)}
        else:
            names = self._given
            types = set().union(*self._types.values())
            by_index = types == {int} or (are_integers and not found <= set(names))
            index = {name: i for i, name in enumerate(names) if not by_index or name in found}
            index |= {str(i): i for i in range(len(names)) if by_index}
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
                f"train has labels that are missing from 'labels': {_some(strangers)}. List all labels, in "
                "order.",
                pointer="#/labels",
                unknown=strangers[:SHOWN],
            )
        self._require_known(found, index)
        return names, index

    def _require_known(self, found: set[str], index: Mapping[str, int]) -> None:
        known = {index[label] for label in found}
        for split, counts in self._counts.items():
            if strangers := sorted(label for label in counts if index.get(label) not in known):
                raise InvalidRequest(
                    "labels_not_in_train",
                    f"{split} has labels that train lacks: {_some(strangers)}. Remove these rows or add "
                    "examples to train.",
                    pointer=f"#/{split}",
                    unknown=strangers[:SHOWN],
                )


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


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(map(repr, labels[:SHOWN])) + more
