"""A split on its way to the canonical form: every row is read and checked, and written in batches."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import TEACHER_SCORES
from app.domain.word_splitting import WordSplitter
from app.intake.datasets.columns import TaskColumns
from app.intake.datasets.input_columns import (
    Column,
    count_words,
    input_columns,
    language_column,
    late_columns,
)
from app.intake.datasets.labels import LIKE_NULL
from app.intake.datasets.notes import Notes
from app.intake.datasets.readers import OpenTable, Wanted
from app.intake.datasets.rows import LIST_ITEM_BYTES, BadRow, BadRows, LeftOutRow, Place, Row
from app.intake.datasets.shapes import OTHER_COLUMNS, Shape, find_shape
from app.intake.datasets.target_columns import Answer, Named
from app.intake.datasets.teacher_scores import TeacherScores, lacks_answer, require_no_scores

_BATCH_ROWS = 50_000
_BATCH_CHARACTERS = 16 * 2**20
_LEARNT_ROWS = 50_000
_MAX_LANGUAGES = 1000
_LONGEST_NULL = max(map(len, LIKE_NULL))


class EmptySplit(InvalidRequest):
    """Nothing of a split is a row of the data set."""

    def __init__(self, split: Split, notes: Notes) -> None:
        left_out = notes.left_out[split]
        others = f" but those that were left out, {left_out}" if left_out.total() else ""
        super().__init__(
            "empty_split",
            f"{split} has no rows{others}. Upload at least one, or omit the split if it is optional.",
            pointer=f"#/{split}",
        )


@dataclass
class Draft:
    """What is known of a split. The names of its answers are codes until those of all splits are known."""

    split: Split
    path: Path
    table: OpenTable
    inputs: list[Column]
    answer: Answer | None
    language: Column | None
    scores: TeacherScores | None
    by_teacher: bool
    """Whether its rows have nothing else to predict than what teachers say."""
    late: frozenset[str]
    """Columns that the first row has not."""
    needed: list[str]
    """Columns without which a row is none."""
    sources: dict[str, str]
    """By field, the column that it is read from."""
    shape: Shape
    rows: int = 0
    words: Counter[int] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)

    @property
    def is_pair(self) -> bool:
        return any(column.name == "text_pair" for column in self.inputs)

    @property
    def schema(self) -> pa.Schema:
        columns: list[Column | Answer | TeacherScores | None]
        columns = [*self.inputs, self.answer, self.language, self.scores]
        return pa.schema([(column.name, column.type) for column in columns if column is not None])

    def forget(self, rows: pa.Table) -> None:
        """Take rows, which have a canonical form, out of the counts."""
        for row in rows.to_pylist():
            self.rows -= 1
            self.words[sum(count_words(row[column.name]) for column in self.inputs)] -= 1
            if self.language:
                self.languages[row["language"]] -= 1
            if self.scores:
                self.scores.forget(self.split, row[TEACHER_SCORES])
        self.words += Counter()  # those that are left
        self.languages += Counter()


@dataclass
class DraftWriter:
    """Reads tables, and writes a draft of each: memory holds one batch of its rows."""

    task: Task
    columns: TaskColumns
    answer: Answer | None
    scores: TeacherScores | None
    notes: Notes
    bad: BadRows
    labels: Sequence[str] = ()
    """Names that the client gives, which columns may have."""
    splitter: WordSplitter = field(default_factory=WordSplitter)
    """Of plain texts, where the task's inputs are words."""

    def learn_words(self, train: Draft) -> None:
        """Split the plain texts of later tables as the words of train are, from the first of its rows."""
        if TASKS[self.task].columns.unlabeled_input is None or not train.rows:
            return
        with pq.ParquetFile(train.path) as table:
            [first, *_] = table.iter_batches(_LEARNT_ROWS, row_groups=[0], columns=["tokens"])
            sentences: list[Any] = first["tokens"].to_pylist()
            self.splitter = WordSplitter.learnt(sentences)

    def wanted(self, split: Split) -> Wanted:
        """What is looked for in the table of a split."""
        record = TASKS[self.task].columns
        text = record.unlabeled_input or record.inputs[0]
        is_text = (record.target is None or split == "unlabeled") and len(record.inputs) == 1
        return Wanted(
            self.columns.names,
            others=[*OTHER_COLUMNS.get(self.task, ()), *self._structs(), *self._label_columns()],
            text_column=self.columns.by_field.get(text) if is_text else None,
            may_be_columns=self.task == "token_classification",
        )

    def _label_columns(self) -> Sequence[str]:
        return self.labels if TASKS[self.task].columns.target == "labels" else ()

    def _structs(self) -> Iterator[str]:
        """Columns whose cells may be objects."""
        if self.answer is not None and pa.types.is_struct(self.answer.type):
            yield self.columns[self.answer.name]

    def write(self, table: OpenTable, folder: Path) -> Draft:
        """Read a table.

        Raises:
            InvalidRequest: no other row needs to be read to know that it cannot be taken.
            TooLarge: it has more rows or bytes than allowed.
        """
        split = table.place.split
        found = self._first(table)
        if found is None:
            self.bad.raise_any()
            raise EmptySplit(split, self.notes)
        first, shape = found
        draft = self._draft(table, first, shape, folder)
        self.notes.repaired[split].clear()  # of the first row, which is read again
        schema = draft.schema
        with pq.ParquetWriter(draft.path, schema) as writer:
            batch: list[dict[str, Any]] = []
            size = 0
            for record in self._records(draft, first):
                batch.append(record)
                size += sum(map(_size, record.values()))
                if len(batch) == _BATCH_ROWS or size > _BATCH_CHARACTERS:
                    writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
                    batch.clear()
                    size = 0
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
        if not draft.rows and not self.bad.of(split):
            draft.path.unlink()
            raise EmptySplit(split, self.notes)
        return draft

    def _sound(self, table: OpenTable) -> Iterator[Row]:
        """Rows that could be read."""
        for row in table.rows:
            if isinstance(row, BadRow):
                self.bad.add(row)
            elif isinstance(row, LeftOutRow):
                self.notes.left_out[table.place.split].add(row.reason, [table.place.number])
            elif row is not None:
                yield row

    def _first(self, table: OpenTable) -> tuple[Row, Shape] | None:
        """The first row that tells the shape of the others; None where there is none."""
        for row in self._sound(table):
            try:
                return row, find_shape(self.task, self.columns, table, row, self.notes, self.labels)
            except LeftOutRow as reason:
                self.notes.left_out[table.place.split].add(reason.reason, [table.place.number])
            except BadRow as fault:
                self.bad.add(fault)
        return None

    def _draft(self, table: OpenTable, first: Row, shape: Shape, folder: Path) -> Draft:
        first, place = shape.row(first, table.place), table.place
        answer, scores = self._answer(first, place), self.scores
        if scores is None:
            require_no_scores(self.task, self.columns, first, place)
        if TASKS[self.task].columns.measure is not None:
            self._require_texts_alone(first, place)
        by_teacher = (
            answer is not None
            and TASKS[self.task].columns.target is not None
            and scores is not None
            and scores.are_in(first)
            and lacks_answer(self.task, self.columns, first)
        )
        answer = None if by_teacher else answer
        if isinstance(answer, Named):
            column = shape.sources.get(answer.name, answer.column_of(first))
            if names := table.class_labels.get(column):
                answer.declare(place.split, names)
        fields = [*TASKS[self.task].columns.inputs, "text_pair"]
        needed = [self.columns[field] for field in fields if field in self.columns.by_field]
        return Draft(
            place.split,
            folder / f"{place.split}.draft",
            table,
            inputs=input_columns(self.task, self.columns, place.split, first=first, splitter=self.splitter),
            answer=answer,
            language=language_column(self.columns, first=first),
            scores=scores,
            by_teacher=by_teacher,
            late=late_columns(self.task, self.columns, place.split, first=first),
            needed=needed if answer is None else [*needed, answer.column_of(first)],
            sources=self._sources(first) | shape.sources,
            shape=shape,
        )

    def _answer(self, first: Row, place: Place) -> Answer | None:
        """What rows of a split have to predict or to be measured by, if anything."""
        measure = TASKS[self.task].columns.measure
        if place.split == "unlabeled":
            return None
        return None if measure is not None and self.columns.optional(measure, first) is None else self.answer

    def _require_texts_alone(self, first: Row, place: Place) -> None:
        """Refuse scores of pairs without pairs, and vectors of teachers beside pairs."""
        is_pair = self.columns.optional("text_pair", first) is not None
        if not is_pair and self._answer(first, place) is not None:
            raise place.fault(
                "score_without_pair",
                "the row has a score and no text_pair: a score says how alike two texts are. Map the second "
                "text with the field 'columns', or remove the score.",
            )
        if is_pair and self.scores is not None and self.scores.are_in(first):
            raise place.fault(
                "teacher_scores_of_pairs",
                "the row has teacher_scores and a text_pair: a vector belongs to one text. Write each text "
                "and its vector in a row of its own.",
            )

    def _sources(self, row: Row) -> dict[str, str]:
        """Where fields are that a row has; plain text is not read beside tokens."""
        record = TASKS[self.task].columns
        unread = record.unlabeled_input if self.columns[record.inputs[0]] in row else None
        return {
            name: column for name, column in self.columns.by_field.items() if column in row and name != unread
        }

    def _records(self, draft: Draft, first: Row) -> Iterator[dict[str, Any]]:
        """Rows in canonical form."""
        place, left_out = draft.table.place, self.notes.left_out[draft.split]
        texts = [self.columns[column.name] for column in draft.inputs if column.name in self.columns.by_field]
        nulls: Counter[str] = Counter()
        for row in chain([first], self._sound(draft.table)):
            try:
                shaped = draft.shape.row(row, place)
                _require_cells(shaped, draft.needed, has_empty_cells=draft.table.has_empty_cells)
                record = _record(draft, shaped, place)
                if draft.by_teacher:
                    self._require_scores_alone(shaped, record, place)
                yield record
                nulls.update(value for column in texts if _is_like_null(value := shaped.get(column, "")))
            except LeftOutRow as reason:
                left_out.add(reason.reason, [place.number])
            except BadRow as fault:
                if row is first and fault.code == "missing_column":  # it is missing from all of them
                    raise
                self.bad.add(fault)
        for text, count in nulls.items():
            self.notes.warn(
                f"{draft.split}: the text of {count:,} rows is {text!r}. If it means none, leave it empty."
            )

    def _require_scores_alone(self, row: Row, record: Mapping[str, Any], place: Place) -> None:
        """Refuse a row of a split without labels that has one, or that no teacher speaks of either."""
        target = TASKS[self.task].columns.target
        if not lacks_answer(self.task, self.columns, row):
            raise place.fault(
                "inconsistent_columns",
                f"the row has a {target}, and the first row has 'teacher_scores' alone. Use {target} in all "
                "rows of the split or in none.",
            )
        if record[TEACHER_SCORES] is None:
            raise place.fault(
                "missing_target",
                f"the row has neither a {target} nor 'teacher_scores'. Add one of them, or move it to the "
                "split 'unlabeled'.",
            )


def _require_cells(row: Row, columns: Sequence[str], *, has_empty_cells: bool) -> None:
    """Raises LeftOutRow where a column has nothing in it."""
    for column in columns:
        value = row.get(column, 0)
        if value is None or (has_empty_cells and isinstance(value, str) and not value.strip()):
            raise LeftOutRow(f"{column!r} is empty")
    if columns and all(row.get(column) == [] for column in columns):
        raise LeftOutRow("it has no tokens")


def _is_like_null(value: Any) -> bool:
    """Whether a text is what programs write where there is none."""
    return isinstance(value, str) and len(value) <= _LONGEST_NULL and value.lower() in LIKE_NULL


def _record(draft: Draft, row: Row, place: Place) -> dict[str, Any]:
    """A row in canonical form, counted."""
    if late := draft.late.intersection(row):
        name = min(late)
        raise place.fault(
            "inconsistent_columns",
            f"the column {name!r} is missing from the first row. Use it in all rows of the split or in none.",
            column=name,
        )
    record = {column.name: column.read(row, place) for column in draft.inputs}
    words = sum(map(count_words, record.values()))
    if draft.answer:
        record[draft.answer.name] = draft.answer.read(row, place, record)
    if draft.scores:
        record[TEACHER_SCORES] = draft.scores.read(row, place, record)
    if draft.language:
        record["language"] = draft.language.read(row, place)
        draft.languages[record["language"]] += 1
        if len(draft.languages) > _MAX_LANGUAGES:
            raise place.fatal(
                "too_many_languages",
                f"more than {_MAX_LANGUAGES:,} different languages. Rename the column if it means something "
                "else.",
            )
    draft.rows += 1
    draft.words[words] += 1
    return record


def _size(value: Any) -> int:
    """About how many bytes a canonical value takes; numbers count for nothing."""
    if isinstance(value, list):
        characters = sum(map(len, value)) if value and isinstance(value[0], str) else 0
        return characters + LIST_ITEM_BYTES * len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return len(value) if isinstance(value, str) else 0
