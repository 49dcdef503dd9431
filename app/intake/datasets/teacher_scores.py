"""What a teacher that is no model here says of a row: read from its cell and checked.

A cell holds what one teacher says, or an object with what several say, by their names. Of a text, or of each
word of a list, that is

=============  ============================================================================
distribution   ``[0.1, 0.9]`` in the order of the labels, ``{"no": 0.1, "yes": 0.9}``,
               ``{"label": "yes", "score": 0.9}``, a list of these, or ``"yes"``: surely that
per_label      the same, but that a list of names means these labels and no others
number         ``3.75``
text           the text
vector         ``[0.1, -0.2, 0.3]``, of every row as many numbers
=============  ============================================================================

How many labels there are, and what they are called, is known once all rows are read: see ``score_columns``.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from app.domain.documents.manifest import ONE_TEACHER, Split
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import TEACHER_SCORES
from app.intake.datasets.cells import kind, require_whole_characters
from app.intake.datasets.columns import TaskColumns
from app.intake.datasets.given import ScoresAre
from app.intake.datasets.labels import MAX_LABELS
from app.intake.datasets.rows import Place, Row

Entry: TypeAlias = list[float] | dict[str, float] | str
"""Of one text or word: numbers in the order of the labels, numbers by label, or a text."""

_SLACK = 1e-6
_LARGEST = float(np.finfo(np.float32).max)
_MAX_TEACHERS = 16
_MAX_NAME_CHARACTERS = 100
_CODE = "invalid_teacher_scores"


class TeacherScores:
    """The scores of all splits of a data set.

    Args:
        task: how its scores are said.
        columns: where the tables keep them.
        are: what the numbers of labels are.
    """

    name = TEACHER_SCORES
    type: pa.DataType = pa.string()
    """Of a draft: JSON of the row's number and of what each teacher says of each text or word."""

    def __init__(self, task: Task, columns: TaskColumns, are: ScoresAre) -> None:
        record = TASKS[task]
        assert record.scoring is not None
        self.scoring = record.scoring
        self.are = are
        self.per_word = record.answering == "token"
        self.rows: defaultdict[Split, Counter[str]] = defaultdict(Counter)
        """With scores, by teacher."""
        self.labels: defaultdict[Split, dict[str, Place]] = defaultdict(dict)
        """Those that are named, each with the first row that names it."""
        self.dimensions: int | None = None
        """Of vectors, once one is read."""
        self._column = columns[TEACHER_SCORES]
        self._inputs = record.columns.inputs[0]

    def are_in(self, row: Row) -> bool:
        return row.get(self._column) not in (None, "", {})

    def read(self, row: Row, place: Place, asked: Row, /) -> str | None:
        """What is kept of a row's scores in a draft; None where it has none."""
        if not self.are_in(row):
            return None
        said = {
            name: self._entries(word, place, asked)
            for name, word in self._by_teacher(self._parsed(row[self._column], place), place).items()
            if word not in (None, "")
        }
        if not said:
            return None
        self.rows[place.split].update(said.keys())
        if len(self.rows[place.split]) > _MAX_TEACHERS:
            raise self._fault(place, f"names more than {_MAX_TEACHERS} teachers. Leave some of them out")
        return json.dumps([place.number, said])

    def forget(self, split: Split, draft: str | None) -> None:
        """Take a row, as ``read`` has made it, out of the counts."""
        if draft is not None:
            _, said = json.loads(draft)
            self.rows[split].subtract(said.keys())
            self.rows[split] += Counter()

    def _parsed(self, value: Any, place: Place) -> Any:
        """What a cell of text writes as JSON; anything else as it is."""
        if not isinstance(value, str) or self.scoring == "text":
            return value
        if not value.lstrip().startswith(("[", "{")):
            return value.split() if self.per_word else value.strip()
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise self._fault(
                place, f"is {kind(value)}, which is not JSON. Write lists and objects as JSON"
            ) from None

    def _by_teacher(self, value: Any, place: Place) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {ONE_TEACHER: value}
        # A struct of Parquet has every name in every row.
        found = {key: word for key, word in value.items() if word is not None}
        if self._is_of_one(found):
            return {ONE_TEACHER: found}
        for name in found:
            if not name.strip() or not name.isprintable() or len(name) > _MAX_NAME_CHARACTERS:
                raise self._fault(
                    place,
                    f"has a teacher whose name is not 1 to {_MAX_NAME_CHARACTERS} printable characters. "
                    "Rename it",
                )
        return found

    def _is_of_one(self, said: dict[str, Any]) -> bool:
        """Whether an object is what one teacher says of a text, and not what several say by their names."""
        if self.per_word or self.scoring not in ("distribution", "per_label"):
            return False
        return _is_confidence(said) or all(_is_number(score) for score in said.values())

    def _entries(self, value: Any, place: Place, asked: Row) -> list[Entry]:
        if not self.per_word:
            return [self._entry(value, place)]
        words = asked[self._inputs]
        if not isinstance(value, list) or len(value) != len(words):
            found = f"has {len(value):,} items" if isinstance(value, list) else f"is {kind(value)}"
            raise self._fault(
                place, f"{found} for {len(words):,} {self._inputs}. Use a list with one item for each of them"
            )
        return [self._entry(word, place) for word in value]

    def _entry(self, value: Any, place: Place) -> Entry:
        if self.scoring == "text":
            if not isinstance(value, str) or not value.strip():
                raise self._fault(place, f"is {kind(value)}, not text. Omit it where the teacher says none")
            require_whole_characters(value, self._column, place)
            return value
        if self.scoring == "number":
            return self._checked([_as_number(value)], place)
        if self.scoring == "vector":
            return self._vector(value, place)
        named = self._named(value, place)
        if named is None:
            return self._checked(value, place)
        first = self.labels[place.split]
        if len(first) <= MAX_LABELS:
            for label in named.keys() - first.keys():
                first[label] = replace(place)
        return dict(zip(named, self._checked(list(named.values()), place, is_whole=False), strict=True))

    def _vector(self, value: Any, place: Place) -> list[float]:
        numbers = self._checked(value, place)
        if self.dimensions is None:
            self.dimensions = len(numbers)
        if len(numbers) != self.dimensions:
            raise self._fault(
                place,
                f"has {len(numbers):,} numbers, and vectors before it have {self.dimensions:,}. Upload "
                "vectors of one model",
            )
        if not any(numbers):
            raise self._fault(place, "is 0 in all dimensions, which has no direction. Omit it")
        return numbers

    def _named(self, value: Any, place: Place) -> dict[str, Any] | None:
        """The numbers by label; None where they are in the order of the labels."""
        match value:
            case str() if self.are == "probabilities":
                return {value.strip(): 1.0}
            case dict() if _is_confidence(value):
                return {str(value["label"]).strip(): value["score"]}
            case dict():
                return {str(label).strip(): score for label, score in value.items() if score is not None}
            case [dict(), *_]:
                return self._joined(value, place)
            case [str(), *_] if self.scoring == "per_label":
                return self._joined(value, place)
        return None

    def _joined(self, values: Iterable[Any], place: Place) -> dict[str, Any]:
        """Of a list of labels, each with its confidence."""
        found: dict[str, Any] = {}
        for value in values:
            one = self._named(value, place) or {}
            if len(one) != 1 or one.keys() & found.keys():
                raise self._fault(
                    place, 'has an item that is not {"label": ..., "score": ...}, or a label twice'
                )
            found |= one
        return found

    def _checked(self, values: Any, place: Place, *, is_whole: bool = True) -> list[float]:
        """Finite numbers, and probabilities that go together; ``is_whole``: they are those of all labels."""
        if not isinstance(values, list) or not values:
            raise self._fault(place, f"is {kind(values)}. {_FORMS[self.scoring]}")
        numbers = _finite(values)
        if numbers is None:
            strange = next(value for value in values if _finite([value]) is None)
            raise self._fault(place, f"has {kind(strange)} where a finite number is due. Fix the row")
        if self.are == "logits" or self.scoring in ("number", "vector"):
            return numbers
        advice = "If these are logits, set the field 'teacher_scores_are' to 'logits'"
        if min(numbers) < -_SLACK or max(numbers) > 1 + _SLACK:
            strange = min(numbers) if min(numbers) < -_SLACK else max(numbers)
            raise self._fault(place, f"has {strange:g}, which is no probability from 0 to 1. {advice}")
        total = math.fsum(numbers)
        allowed = tolerance(len(numbers))
        if self.scoring == "distribution" and (total > 1 + allowed or (is_whole and total < 1 - allowed)):
            raise self._fault(place, f"has probabilities that sum to {total:.3g} and not to 1. {advice}")
        return numbers

    def _fault(self, place: Place, what: str) -> InvalidRequest:
        return place.fault(_CODE, f"{self._column!r} {what}.", column=self._column)


_FORMS: Final = {
    "distribution": "Use a list with a number for each label, an object from label to number, or "
    '{"label": ..., "score": ...}',
    "per_label": "Use a list with a number for each label, an object from label to number, or a list of "
    "names",
    "number": "Use a finite number",
    "vector": "Use a list of numbers",
}


def tolerance(labels: int) -> float:
    """How far from 1 the sum of rounded probabilities may be."""
    return min(0.2, max(0.02, 0.002 * labels))


def require_no_scores(task: Task, columns: TaskColumns, first: Row, place: Place) -> None:
    """Refuse scores for a task that cannot learn from any.

    Raises:
        InvalidRequest: the client names their column, or a table has it.
    """
    if columns.optional(TEACHER_SCORES, first) is None:
        return
    if TASKS[task].answering == "span":
        raise place.fault(
            "teacher_scores_not_supported",
            f"{task} takes no 'teacher_scores': there is only to learn where an answer stands. "
            "Write a teacher's answers to 'answers', as those of people, and put the rows into train.",
        )
    able = ", ".join(name for name, record in TASKS.items() if record.scoring is not None)
    raise place.fault(
        "teacher_scores_not_supported",
        f"{task} cannot learn from 'teacher_scores', only from what a network says while it trains. "
        f"Remove the column; {able} support it.",
    )


def lacks_answer(task: Task, columns: TaskColumns, row: Row) -> bool:
    """Whether a row has nothing in the columns of what is to be predicted."""
    known = TASKS[task].columns
    fields = [field for field in (known.target, known.target_alias) if field in columns.by_field]
    return all(row.get(columns[field]) in (None, "") for field in fields if field is not None)


def _is_confidence(value: dict[str, Any]) -> bool:
    """A label with its confidence, as pipelines of transformers write it."""
    return value.keys() == {"label", "score"} and isinstance(value["label"], str | int)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float, Decimal)


def _as_number(value: Any) -> Any:
    """A number that a text writes; anything else as it is."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _finite(values: Sequence[Any]) -> list[float] | None:
    """The numbers, as 32 bits can hold them; None where a value is none."""
    if not all(map(_is_number, values)):
        return None
    try:
        numbers = list(map(float, values))
    except OverflowError:
        return None
    return numbers if all(-_LARGEST <= number <= _LARGEST for number in numbers) else None
