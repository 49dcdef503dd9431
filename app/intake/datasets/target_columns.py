"""What there is to predict: a column that every split but ``unlabeled`` has."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS, Task
from app.intake.datasets.answers import Answers
from app.intake.datasets.cells import cell, kind, text
from app.intake.datasets.columns import TaskColumns
from app.intake.datasets.input_columns import count_words
from app.intake.datasets.label_lists import LabelLists
from app.intake.datasets.labels import LabelOptions, Labels
from app.intake.datasets.notes import Notes
from app.intake.datasets.quantiles import quantiles
from app.intake.datasets.rows import Place, Row
from app.intake.datasets.tags import Tags

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_MAX_NUMBER_CHARACTERS = 100
_NO_SCORE = -1
"""What sets of the hub have in splits whose scores are not public."""

_LARGEST = float(np.finfo(np.float32).max)


class Answer(Protocol):
    """The answers of all splits of a data set."""

    @property
    def name(self) -> str:
        """The canonical column."""

    @property
    def type(self) -> pa.DataType: ...

    def column_of(self, row: Row, /) -> str:
        """The column of a row that holds its answer."""

    def read(self, row: Row, place: Place, asked: Row, /) -> Any:
        """A row's answer; ``asked`` is what the row asks, in canonical form."""

    def settle(self) -> list[str]:
        """The names of the answers in order, once all rows are read; none where answers have no names.

        Raises:
            InvalidRequest: the answers of the splits do not go together.
        """

    def summary(self, split: Split) -> dict[str, Any]:
        """What the split's ``SplitSummary`` says about its answers."""


@runtime_checkable
class Named(Answer, Protocol):
    """Answers with names: codes, until every split is read and ``finish`` puts indices in their place."""

    @property
    def order(self) -> str:
        """Where the order of the names is from."""

    def take(self, labels: Mapping[str, Place | None], /) -> None:
        """Count names as train's, before ``settle``: its rows have none, but their teachers' scores."""

    def spellings(self) -> Mapping[str, int]:
        """The index of each name, however it may be written, after ``settle``."""

    def declare(self, split: Split, names: list[str]) -> None:
        """Say what integers of a split stand for, before it is read."""

    def finish(self, codes: Any, split: Split, /) -> tuple[Any, Any]:
        """The answers of a column of codes in canonical form, and which rows of it have one, (rows,)."""


def answer_of(task: Task, columns: TaskColumns, options: LabelOptions, notes: Notes) -> Answer | None:
    """What a task predicts; None where the texts themselves are the answers.

    Raises:
        InvalidRequest: ``labels`` are given for a task that has none, or are no tags.
    """
    if options.names is not None and not TASKS[task].has_labels:
        raise InvalidRequest(
            "labels_not_allowed", f"{task} has no labels. Omit 'labels'.", pointer="#/labels"
        )
    known = TASKS[task].columns
    if known.measure is not None:
        return PairScores(columns)
    return None if known.target is None else TARGETS[task](columns, options, notes)


@dataclass
class _Range:
    count: int = 0
    total: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf


class Scores:
    """Finite numbers."""

    name = "score"
    type = pa.float32()
    _absent = "Rows without a score belong in the split 'unlabeled'."

    def __init__(self, columns: TaskColumns) -> None:
        self._columns = columns
        self._ranges: defaultdict[Split, _Range] = defaultdict(_Range)

    def read(self, row: Row, place: Place, _asked: Row, /) -> float:
        value = cell(row, self.column_of(row), place, absent=self._absent)
        score = _number(value)
        if score is None or not abs(score) <= _LARGEST:
            raise place.fault(
                "invalid_score",
                f"the score is {kind(value)}. Scores must be finite numbers such as 3.75, of at most "
                f"{_MAX_NUMBER_CHARACTERS} characters. {self._absent}",
            )
        seen = self._ranges[place.split]
        seen.count += 1
        seen.total += score
        seen.least = min(seen.least, score)
        seen.greatest = max(seen.greatest, score)
        return score

    def settle(self) -> list[str]:
        train = self._ranges["train"]
        if train.least == train.greatest:
            raise InvalidRequest(
                "too_few_scores",
                f"Every score of train is {train.least:g}. Regression needs at least two different scores.",
                pointer="#/train",
            )
        for split, seen in self._ranges.items():
            if seen.least == seen.greatest == _NO_SCORE and train.least >= 0:
                raise InvalidRequest(
                    "no_scores",
                    f"Every score of {split} is -1, and train has none below {train.least:g}: -1 stands for "
                    "no score. Omit the split, or send it as 'unlabeled'.",
                    pointer=f"#/{split}",
                )
        return []

    def summary(self, split: Split) -> dict[str, Any]:
        seen = self._ranges[split]
        return {"scores": {"min": seen.least, "mean": seen.total / seen.count, "max": seen.greatest}}

    def column_of(self, row: Row, /) -> str:
        """``score``, or ``label`` in its stead."""
        score = self._columns["score"]
        if "score" in self._columns.named or score in row:
            return score
        return self._columns.optional("label", row) or score


class PairScores(Scores):
    """How alike the texts of pairs are, of splits that say it: vectors are measured by it."""

    _absent = "Use 'score' in all rows of a split or in none."

    def settle(self) -> list[str]:
        for split, seen in self._ranges.items():
            if split != "train" and seen.least == seen.greatest:
                raise InvalidRequest(
                    "too_few_scores",
                    f"Every score of {split} is {seen.least:g}. Measuring needs at least two different "
                    "scores; omit the column where pairs are queries and their passages.",
                    pointer=f"#/{split}",
                )
        return []

    def column_of(self, _row: Row, /) -> str:
        return self._columns["score"]


class Targets:
    """Translations."""

    name = "target"
    type = pa.string()

    def __init__(self, column: str) -> None:
        self._column = column
        self._words: defaultdict[Split, Counter[int]] = defaultdict(Counter)

    def column_of(self, _row: Row, /) -> str:
        return self._column

    def read(self, row: Row, place: Place, _asked: Row, /) -> str:
        target = text(
            row,
            self._column,
            place,
            absent="Sentences without a translation belong in the split 'unlabeled'.",
        )
        self._words[place.split][count_words(target)] += 1
        return target

    def settle(self) -> list[str]:
        return []

    def summary(self, split: Split) -> dict[str, Any]:
        return {"target_words": quantiles(self._words[split])}


TARGETS: Final[Mapping[Task, Callable[[TaskColumns, LabelOptions, Notes], Answer]]] = {
    "text_classification": lambda columns, options, notes: Labels(columns["label"], options, notes),
    "multi_label_classification": lambda columns, options, notes: LabelLists(
        columns["labels"], options, notes
    ),
    "text_regression": lambda columns, _options, _notes: Scores(columns),
    "token_classification": lambda columns, options, notes: Tags(columns["tags"], options, notes),
    "question_answering": lambda columns, _options, notes: Answers(columns["answers"], notes),
    "translation": lambda columns, _options, _notes: Targets(columns["target"]),
}
"""How the target column of each task that has one is read."""


def _number(value: Any) -> float | None:
    """A number, or a text that writes one."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    if isinstance(value, str):
        value = value.strip()
        if len(value) > _MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(value):
            return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
