"""Any number of labels a text: a list of names or whole numbers, or text that writes one.

Or a list of 0 and 1, one for each label, in every row. ``[0, 1]`` may be one of two labels, or both: all rows
tell together what it is.
"""

import json
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.intake.datasets.cells import cell, kind, printed_list
from app.intake.datasets.labels import ELSEWHERE, LabelOptions, Labels
from app.intake.datasets.notes import Notes
from app.intake.datasets.rows import BadRow, Place, Row

_APPLIES = "1"
_ABSENT = f"Where each label has a column of 0 and 1, name these columns in 'labels'. {ELSEWHERE}"


class LabelLists(Labels):
    """The labels that apply to each row; an empty list where none does."""

    name = "labels"
    type = pa.list_(pa.int32())
    may_lack = frozenset()

    def __init__(self, column: str, options: LabelOptions | None = None, notes: Notes | None = None) -> None:
        super().__init__(column, options, notes)
        self._may_be_marks = True
        """Whether all rows so far are lists of 0 and 1 of one length."""
        self._are_marks = False
        self._width: int | None = None
        self._marked: defaultdict[Split, Counter[int]] = defaultdict(Counter)
        """How often each place of such lists has a 1."""
        self._as_list: BadRow | None = None
        """What is wrong with the first row that can only be such a list, if rows are not."""

    def read(self, row: Row, place: Place, _asked: Row, /) -> list[int]:
        """The codes of a row's labels."""
        labels = cell(row, self._column, place, absent=_ABSENT)
        if isinstance(labels, str):
            labels = _list(labels)
        if not isinstance(labels, list):
            raise place.fault(
                "invalid_labels",
                f"{self._column!r} is {kind(labels)}. It must be a list of names or integers, [] if no label "
                f"applies; in .csv and .tsv a JSON list. {ELSEWHERE}",
            )
        if place.split in self._declared or not self._is_mark_list(labels):
            self._may_be_marks = False
        if self._may_be_marks:
            return self._marks(labels, place)
        return self._list_codes(labels, place)

    def _is_mark_list(self, labels: list[Any]) -> bool:
        """Whether a row may have a 0 or 1 for each label, as all rows before it have."""
        if len(labels) < 2 or not all(isinstance(mark, int | float) and mark in (0, 1) for mark in labels):
            return False
        names = self._options.names
        self._width = self._width or len(labels)
        return len(labels) == self._width and (names is None or len(names) == self._width)

    def _marks(self, marks: list[Any], place: Place) -> list[int]:
        """The codes of 0 and 1: whether they are marks or labels is known once all rows are read."""
        self._marked[place.split].update(index for index, mark in enumerate(marks) if mark)
        self._as_list = self._as_list or self._fault_as_list(marks, place)
        return [self._code(int(mark), place) for mark in marks]

    def _fault_as_list(self, labels: list[Any], place: Place) -> BadRow | None:
        """What would be wrong with a row as a list of labels."""
        try:
            if len({self._plain(label, place) for label in labels}) < len(labels):
                raise self._repeated(place)
        except BadRow as fault:
            return fault
        return None

    def _repeated(self, place: Place) -> BadRow:
        return place.fault("repeated_label", f"{self._column!r} has a label twice. Remove the repetition.")

    def _list_codes(self, labels: list[Any], place: Place) -> list[int]:
        codes = [self._code(label, place) for label in labels]
        if len(set(codes)) < len(codes):
            raise self._repeated(place)
        return codes

    def settle(self) -> list[str]:
        self._are_marks = self._may_be_marks and self._width is not None
        if self._are_marks:
            self._name_marks()
        elif self._as_list is not None:
            raise self._as_list
        return super().settle()

    def _name_marks(self) -> None:
        """Count labels by their names, as if the rows had them."""
        names = self._options.names
        if names is None:
            raise InvalidRequest(
                "label_names_required",
                f"Every list in {self._column!r} has {self._width} items of 0 and 1, one for each label. "
                "Name the labels in 'labels', in this order.",
                pointer="#/labels",
            )
        self._notes.warn(
            f"The lists of 0 and 1 in {self._column!r} are read as a mark for each label, in the order of "
            "'labels'."
        )
        self._types = defaultdict(set, {name: {str} for name in names})
        for split in self._counts:
            marked = self._marked[split]
            self._counts[split] = Counter({names[index]: count for index, count in marked.items()})

    def finish(self, codes: Any, _split: Split, /) -> tuple[Any, Any]:
        """The indices of each row's codes, (rows,) lists in ascending order; every row has such a list."""
        return self._finish_marks(codes) if self._are_marks else self._finish_lists(codes)

    def _finish_marks(self, codes: Any) -> tuple[Any, Any]:
        marks = codes.flatten().to_numpy().reshape(len(codes), self._width) == self._codes[_APPLIES]
        offsets = np.concatenate([[0], np.cumsum(marks.sum(1))])
        lists = pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array(np.nonzero(marks)[1], pa.int32())
        )
        return lists, pa.array(np.ones(len(codes), bool))

    def _finish_lists(self, codes: Any) -> tuple[Any, Any]:
        counts = codes.value_lengths().to_numpy()
        rows = np.repeat(np.arange(len(counts)), counts)
        indices = self._indices(codes.flatten()).to_numpy()
        offsets = np.concatenate([[0], np.cumsum(counts)])
        lists = pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array(indices[np.lexsort((indices, rows))], pa.int32())
        )
        return lists, pa.array(np.ones(len(counts), bool))


def _list(text: str) -> Any:
    """What a text writes as JSON, or as Python prints a list; the text where it writes neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        found = printed_list(text)
    return text if found is None else found
