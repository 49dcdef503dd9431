"""Teachers' scores in canonical form: logits in the order of the data set's labels.

Shapes: P texts or words that a teacher speaks of, C outputs.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.domain.documents.manifest import ScoredRows, Split
from app.domain.errors import InvalidRequest, TooLarge
from app.intake.datasets.rows import Place
from app.intake.datasets.teacher_scores import Entry, TeacherScores, tolerance

Numbers = npt.NDArray[np.float64]

_LEAST: Final = 1e-6
"""Probability that stands for 0, whose logarithm is no number."""
CHUNK_NUMBERS = 2**22
_SHOWN = 10
_BYTES_PER_NUMBER = 4
_MAX_GROUP_NUMBERS = 2**27
"""Of one group of rows, which memory has to hold."""


@dataclass(frozen=True)
class LabelOrder:
    """Which output each label's number belongs to."""

    names: Sequence[str]
    """Of the data set's labels; none where an answer is a number."""
    spellings: Mapping[str, int]
    """Every way in which a label may be written."""
    given: Sequence[str] | None = None
    """As the client listed them, which is the order of its lists."""

    @property
    def outputs(self) -> int:
        return max(1, len(self.names))

    def of_list(self, count: int) -> list[int] | None:
        """The output of each of so many numbers; None where that is not what there are labels."""
        if self.given is not None and count == len(self.given):
            indices = [self.spellings.get(name) for name in self.given]
            if None not in indices:
                return [index for index in indices if index is not None]
        return list(range(count)) if count == self.outputs else None


@dataclass
class ScoreWriter:
    """Makes the scores of one split's draft canonical, group by group.

    Args:
        scores: of the data set, all of whose rows are read.
        split: whose they are.
        unit: what its rows are numbered by.
        order: of the labels.
        budget: of numbers, shared by the splits.
    """

    scores: TeacherScores
    split: Split
    unit: str
    order: LabelOrder
    budget: "NumberBudget"
    _faults: dict[int, str] = field(default_factory=dict)
    _hits: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _compared: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def teachers(self) -> list[str]:
        return sorted(self.scores.rows[self.split])

    @property
    def type(self) -> pa.DataType:
        """A struct with a field for each teacher: a list of logits, the words of a row end to end."""
        return pa.struct([(name, self.value_type) for name in self.teachers])

    @property
    def value_type(self) -> pa.DataType:
        """Of what one teacher says of a row."""
        return pa.string() if self.scores.scoring == "text" else pa.list_(pa.float32())

    def write(self, drafts: Any, answers: Any | None) -> Any:
        """The scores of some rows.

        Args:
            drafts: what ``TeacherScores.read`` made of each.
            answers: their own ones in canonical form; None where they have none.
        """
        rows = [(0, {}) if draft is None else json.loads(draft) for draft in drafts.to_pylist()]
        columns: list[Any] = []
        for teacher in self.teachers:
            said: list[list[Entry] | None] = [words.get(teacher) for _, words in rows]
            if self.scores.scoring in ("text", "vector"):
                wholes: list[Any] = [words and words[0] for words in said]
                if self.scores.dimensions is not None:
                    self.budget.spend(self.scores.dimensions * sum(whole is not None for whole in wholes))
                columns.append(pa.array(wholes, self.value_type))
                continue
            numbers = [number for (number, _), words in zip(rows, said, strict=True) if words]
            logits = self._logits([words for words in said if words], numbers)
            if answers is not None and self.scores.scoring == "distribution":
                self._compare(teacher, logits, answers, [words is not None for words in said])
            lengths = [len(words) * self.order.outputs if words else 0 for words in said]
            columns.append(
                pa.ListArray.from_arrays(
                    pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()),
                    pa.array(logits.ravel(), pa.float32()),
                    mask=pa.array([words is None for words in said]),
                )
            )
        return pa.StructArray.from_arrays(columns, names=self.teachers)

    def summary(self) -> dict[str, ScoredRows]:
        """How much each teacher says, and how often it says what the rows' own labels say.

        Raises:
            InvalidRequest: some rows do not go with the labels.
        """
        self._raise_faults()
        return {
            name: ScoredRows(
                rows=self.scores.rows[self.split][name],
                agreement=self._hits[name] / self._compared[name] if self._compared[name] else None,
            )
            for name in self.teachers
        }

    def _logits(self, said: Sequence[list[Entry]], numbers: Sequence[int]) -> npt.NDArray[np.float32]:
        """(P, C), of the words of rows with these numbers."""
        count = sum(map(len, said))
        self.budget.spend(count * self.order.outputs)
        logits = np.empty((count, self.order.outputs), np.float32)
        begin = 0
        for entries, where in _chunks(said, numbers, max(1, CHUNK_NUMBERS // self.order.outputs)):
            logits[begin : begin + len(entries)] = self._of_entries(entries, where)
            begin += len(entries)
        return logits

    def _of_entries(self, entries: Sequence[Entry], where: Sequence[int]) -> Numbers:
        logits = np.full((len(entries), self.order.outputs), -np.inf)
        lists: defaultdict[int, list[int]] = defaultdict(list)
        for index, entry in enumerate(entries):
            if isinstance(entry, list):
                lists[len(entry)].append(index)
            elif isinstance(entry, dict):
                logits[index] = self._of_named(entry, where[index])
        for count, indices in lists.items():
            outputs = self.order.of_list(count)
            if outputs is None:
                self._add_count_faults(count, [where[index] for index in indices])
                continue
            values = self._as_logits(np.array([entries[index] for index in indices]))  # (n, count)
            for column, output in enumerate(outputs):  # several tags may mean the same one
                logits[indices, output] = np.logaddexp(logits[indices, output], values[:, column])
        return self._bounded(logits)

    def _of_named(self, entry: dict[str, float], number: int) -> Numbers:
        """(C,); what is left of a probability is spread evenly over the labels that are not named."""
        outputs = self.order.outputs
        indices = [self.order.spellings.get(label) for label in entry]
        unknown = [label for label, index in zip(entry, indices, strict=True) if index is None]
        if unknown:
            self._add_fault(
                number, f"has the label {unknown[0]!r}, which is none of {self._names()}. Use these names"
            )
            return np.zeros(outputs)  # refused in the end
        known = [index for index in indices if index is not None]
        values = np.zeros(outputs)
        np.add.at(values, known, list(entry.values()))
        left = outputs - len(set(known))
        if self.scores.are == "logits":
            if left or len(known) > outputs:
                self._add_fault(number, f"has {len(known)} logits; each of {self._names()} needs one")
            return values
        if self.scores.scoring == "per_label":
            return self._as_logits(values)
        total = values.sum()
        if left == 0 and total < 1 - tolerance(outputs):
            self._add_fault(number, f"has probabilities that sum to {total:.3g} and not to 1")
        if left:
            others = np.ones(outputs, np.bool_)
            others[known] = False
            values[others] = max(0.0, 1 - total) / left
        return self._as_logits(values)

    def _as_logits(self, values: Numbers) -> Numbers:
        if self.scores.scoring == "number" or self.scores.are == "logits":
            return values
        with np.errstate(divide="ignore"):
            logits: Numbers = np.log(np.clip(values, 0, 1))
            if self.scores.scoring == "per_label":
                logits = logits - np.log1p(-np.clip(values, 0, 1))
        return logits

    def _bounded(self, logits: Numbers) -> Numbers:
        if self.scores.scoring == "number" or self.scores.are == "logits":
            return logits
        return np.clip(logits, np.log(_LEAST), -np.log(_LEAST))

    def _compare(
        self,
        teacher: str,
        logits: npt.NDArray[np.float32],
        answers: Any,
        is_said: Sequence[bool],
    ) -> None:
        is_list = pa.types.is_list(answers.type)
        counts = answers.value_lengths().to_numpy() if is_list else np.ones(len(answers), np.int64)
        truth = (answers.flatten() if is_list else answers).to_numpy()[np.repeat(is_said, counts)]
        self._hits[teacher] += int((logits.argmax(axis=1) == truth).sum())
        self._compared[teacher] += len(truth)

    def _add_count_faults(self, count: int, numbers: Sequence[int]) -> None:
        labels = len(self.order.names)
        what = (
            f"has {count:,} numbers for {labels:,} labels: {self._names()}. Use one for each, in this order"
        )
        if not labels:
            what = f"has {count:,} numbers where one is due"
        for number in numbers:
            self._add_fault(number, what)

    def _names(self) -> str:
        more = f" and {len(self.order.names) - _SHOWN} more" if len(self.order.names) > _SHOWN else ""
        return ", ".join(map(repr, self.order.names[:_SHOWN])) + more

    def _add_fault(self, number: int, what: str) -> None:
        self._faults.setdefault(number, what)

    def _raise_faults(self) -> None:
        if not self._faults:
            return
        numbers = sorted(self._faults)
        what = f"'teacher_scores' {self._faults[numbers[0]]}."
        if len(numbers) > 1:
            shown = ", ".join(f"{number:,}" for number in numbers[:_SHOWN])
            more = ", ..." if len(numbers) > _SHOWN else ""
            what += f" {len(numbers):,} rows have such a fault: {shown}{more}."
        raise Place(self.split, self.unit, numbers[0]).fault(
            "invalid_teacher_scores", what, rows=numbers[:_SHOWN], count=len(numbers)
        )


class NumberBudget:
    """Numbers that the scores of a data set may be, so that few bytes cannot become many."""

    def __init__(self, max_bytes: int) -> None:
        self._most = self._left = max_bytes // _BYTES_PER_NUMBER

    def spend(self, numbers: int) -> None:
        self._left -= numbers
        if self._left < 0 or numbers > _MAX_GROUP_NUMBERS:
            raise TooLarge(
                "teacher_scores_too_large",
                f"The teacher's scores, one number for each label of each text or word, exceed the limit of "
                f"{self._most:,} numbers. Upload fewer rows, or the scores of fewer teachers.",
                max_numbers=self._most,
            )


def _chunks(
    said: Sequence[list[Entry]], numbers: Sequence[int], size: int
) -> Iterator[tuple[list[Entry], list[int]]]:
    """The words of rows, about so many at a time, each beside the number of its row."""
    entries: list[Entry] = []
    where: list[int] = []
    for words, number in zip(said, numbers, strict=True):
        for begin in range(0, len(words), size):
            part = words[begin : begin + size]
            entries += part
            where += [number] * len(part)
            if len(entries) >= size:
                yield entries, where
                entries, where = [], []
    if entries:
        yield entries, where


def require_names(scores: TeacherScores, given: Sequence[str] | None) -> dict[str, Place | None]:
    """The labels of a data set whose training rows have none of their own, each with where it comes from.

    Raises:
        InvalidRequest: nothing names them.
    """
    if given is not None:
        return dict.fromkeys(given)
    named = scores.labels["train"]
    if not named:
        raise InvalidRequest(
            "labels_required",
            "The rows of train have no labels, and their 'teacher_scores' name none. List the labels in "
            "'labels', in the order of the scores.",
            pointer="#/labels",
        )
    return dict(named)
