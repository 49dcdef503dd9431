"""Any number of labels a text: a list of names or whole numbers, or text that writes one."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from app.domain.documents.manifest import Split
from app.intake.datasets.cells import cell, kind, printed_list
from app.intake.datasets.labels import ELSEWHERE, Labels
from app.intake.datasets.rows import Place, Row


class LabelLists(Labels):
    """The labels that apply to each row; an empty list where none does."""

    name = "labels"
    type = pa.list_(pa.int32())
    may_lack = frozenset()

    def read(self, row: Row, place: Place, _asked: Row, /) -> list[int]:
        """The codes of a row's labels."""
        labels = cell(row, self._column, place, absent=ELSEWHERE)
        if isinstance(labels, str):
            labels = _list(labels)
        if not isinstance(labels, list):
            raise place.fault(
                "invalid_labels",
                f"{self._column!r} is {kind(labels)}. It must be a list of names or integers, [] if no label "
                f"applies; in .csv and .tsv a JSON list. {ELSEWHERE}",
            )
        codes = [self._code(label, place) for label in labels]
        if len(set(codes)) < len(codes):
            raise place.fault("repeated_label", f"{self._column!r} has a label twice. Remove the repetition.")
        return codes

    def finish(self, codes: Any, _split: Split, /) -> tuple[Any, Any]:
        """The indices of each row's codes, (rows,) lists in ascending order; every row has such a list."""
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
