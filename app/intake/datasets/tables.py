"""From uploaded tables to the canonical form that ``DatasetManifest`` describes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.documents.manifest import Split, SplitSummary
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import TEACHER_SCORES
from app.intake.datasets.columns import Columns, TaskColumns
from app.intake.datasets.input_columns import (
    Column,
    count_words,
    input_columns,
    language_column,
    late_columns,
)
from app.intake.datasets.quantiles import quantiles
from app.intake.datasets.readers import open_table
from app.intake.datasets.rows import LIST_ITEM_BYTES, Place, Row, RowBudget
from app.intake.datasets.score_columns import LabelOrder, NumberBudget, ScoreWriter, require_names
from app.intake.datasets.target_columns import Answer, Named, answer_of
from app.intake.datasets.teacher_scores import ScoresAre, TeacherScores, lacks_answer, require_no_scores

_BATCH_ROWS = 50_000
_BATCH_CHARACTERS = 16 * 2**20
_MAX_LANGUAGES = 1000


@dataclass(frozen=True)
class Table:
    """An uploaded file."""

    file: BinaryIO
    filename: str


@dataclass(frozen=True)
class Prepared:
    """What a set of uploads turned out to be."""

    labels: list[str]
    is_pair: bool
    splits: dict[Split, SplitSummary]


@dataclass
class _Draft:
    """A split on its way: the names of its answers are codes until those of all splits are known."""

    split: Split
    path: Path
    unit: str
    """What its rows are numbered by."""
    inputs: list[Column]
    answer: Answer | None
    language: Column | None
    scores: TeacherScores | None
    by_teacher: bool
    """Whether its rows have nothing else to predict than what teachers say."""
    late: frozenset[str]
    """Columns that the first row has not."""
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


def prepare(
    tables: Mapping[Split, Table],
    folder: Path,
    *,
    task: Task,
    columns: Columns,
    labels: list[str] | None,
    max_rows: int,
    max_bytes: int,
    scores_are: ScoresAre = "probabilities",
) -> Prepared:
    """Write each split in canonical form into an empty folder.

    Args:
        tables: by split; ``unlabeled`` needs nothing of what is to be predicted.
        folder: receives ``<split>.parquet``.
        task: says which columns there are.
        columns: where the tables keep what.
        labels: the names in order; integers in the tables are then indices. Default: sorted.
        max_rows: over all splits, blank lines among them.
        max_bytes: of each table, unpacked.
        scores_are: what numbers of teachers' scores are.

    Raises:
        InvalidRequest: a table cannot be taken as it is; the message names the row and what to do.
        TooLarge: more rows or bytes than allowed.
    """
    where = columns.of(task)
    answer = answer_of(task, where, labels)
    scores = None if TASKS[task].scoring is None else TeacherScores(task, where, scores_are)
    drafts: list[_Draft] = []
    budget = RowBudget(max_rows)
    for split, table in tables.items():
        with open_table(
            table.file,
            filename=table.filename,
            split=split,
            columns=where.names,
            max_bytes=max_bytes,
            budget=budget,
        ) as (place, rows):
            drafts.append(_write_draft(task, where, answer, scores, place, rows, folder))
    _require_alike(drafts)
    if scores and isinstance(answer, Named) and any(d.by_teacher for d in drafts if d.split == "train"):
        answer.take(require_names(scores, labels))
    names = answer.settle() if answer else []
    order = LabelOrder(names, answer.spellings() if isinstance(answer, Named) else {}, labels)
    numbers = NumberBudget(max_bytes)
    return Prepared(
        labels=names,
        is_pair=drafts[0].is_pair,
        splits={draft.split: _finish(draft, folder, order, numbers) for draft in drafts},
    )


def _write_draft(
    task: Task,
    columns: TaskColumns,
    answer: Answer | None,
    scores: TeacherScores | None,
    place: Place,
    rows: Iterator[Row],
    folder: Path,
) -> _Draft:
    """Check every row and write it, in batches: memory holds one of them."""
    first = next(rows, None)
    if first is None:
        raise InvalidRequest(
            "empty_split",
            f"{place.split} has no rows. Upload at least one, or omit the split if it is optional.",
            pointer=f"#/{place.split}",
        )
    if scores is None:
        require_no_scores(task, columns, first, place)
    is_labelled = answer is not None and place.split != "unlabeled"
    by_teacher = (
        is_labelled and scores is not None and scores.are_in(first) and lacks_answer(task, columns, first)
    )
    draft = _Draft(
        place.split,
        folder / f"{place.split}.draft",
        unit=place.unit,
        inputs=input_columns(task, columns, place.split, first=first),
        answer=answer if is_labelled and not by_teacher else None,
        language=language_column(columns, first=first),
        scores=scores,
        by_teacher=by_teacher,
        late=late_columns(columns, place.split, first=first),
    )
    schema = draft.schema
    with pq.ParquetWriter(draft.path, schema) as writer:
        batch: list[dict[str, Any]] = []
        size = 0
        for row in chain([first], rows):
            batch.append(_record(draft, row, place))
            if draft.by_teacher:
                _require_scores_alone(task, columns, row, batch[-1], place)
            size += sum(map(_size, batch[-1].values()))
            if len(batch) == _BATCH_ROWS or size > _BATCH_CHARACTERS:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
                batch.clear()
                size = 0
        writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
    return draft


def _record(draft: _Draft, row: Row, place: Place) -> dict[str, Any]:
    """A row in canonical form, counted."""
    if late := draft.late.intersection(row):
        name = min(late)
        raise place.fault(
            "inconsistent_columns",
            f"the column {name!r} is missing from the first row. Use it in all rows of the split or in none.",
            column=name,
        )
    record = {column.name: column.read(row, place) for column in draft.inputs}
    draft.rows += 1
    draft.words[sum(map(count_words, record.values()))] += 1
    if draft.answer:
        record[draft.answer.name] = draft.answer.read(row, place, record)
    if draft.scores:
        record[TEACHER_SCORES] = draft.scores.read(row, place, record)
    if draft.language:
        record["language"] = draft.language.read(row, place)
        draft.languages[record["language"]] += 1
        if len(draft.languages) > _MAX_LANGUAGES:
            raise place.fault(
                "too_many_languages",
                f"more than {_MAX_LANGUAGES:,} different languages. Rename the column if it means something "
                "else.",
            )
    return record


def _require_scores_alone(
    task: Task, columns: TaskColumns, row: Row, record: Mapping[str, Any], place: Place
) -> None:
    """Refuse a row of a split without labels that has one, or that no teacher speaks of either."""
    target = TASKS[task].columns.target
    if not lacks_answer(task, columns, row):
        raise place.fault(
            "inconsistent_columns",
            f"the row has a {target}, and the first row has 'teacher_scores' alone. Use {target} in all rows "
            "of the split or in none.",
        )
    if record[TEACHER_SCORES] is None:
        raise place.fault(
            "missing_target",
            f"the row has neither a {target} nor 'teacher_scores'. Add one of them, or move it to the split "
            "'unlabeled'.",
        )


def _size(value: Any) -> int:
    """About how many bytes a canonical value takes; numbers count for nothing."""
    if isinstance(value, list):
        characters = sum(map(len, value)) if value and isinstance(value[0], str) else 0
        return characters + LIST_ITEM_BYTES * len(value)
    return len(value) if isinstance(value, str) else 0


def _require_alike(drafts: Sequence[_Draft]) -> None:
    pairs = [draft.split for draft in drafts if draft.is_pair]
    if 0 < len(pairs) < len(drafts):
        raise InvalidRequest(
            "inconsistent_text_pairs",
            f"Only {', '.join(pairs)} has the column text_pair. Use it in all splits or in none.",
        )


def _finish(draft: _Draft, folder: Path, order: LabelOrder, numbers: NumberBudget) -> SplitSummary:
    path = folder / f"{draft.split}.parquet"
    writer = None
    if draft.scores and draft.scores.rows[draft.split]:
        writer = ScoreWriter(draft.scores, draft.split, draft.unit, order, numbers)
    if draft.scores or isinstance(draft.answer, Named):
        _rewrite(draft, writer, path)
    else:
        draft.path.rename(path)
    return SplitSummary(
        rows=draft.rows,
        words=quantiles(draft.words),
        languages=dict(sorted(draft.languages.items())) or None,
        teacher_scores=writer.summary() if writer else None,
        labelled_by_teacher=draft.by_teacher or None,
        **(draft.answer.summary(draft.split) if draft.answer else {}),
    )


def _rewrite(draft: _Draft, scores: ScoreWriter | None, path: Path) -> None:
    """Put indices in place of codes, and logits in place of what teachers say."""
    answer, schema = draft.answer, draft.schema
    place = schema.get_field_index(TEACHER_SCORES)
    if place >= 0:
        schema = schema.remove(place)
    if scores:
        schema = schema.append(pa.field(TEACHER_SCORES, scores.type))
    with pq.ParquetFile(draft.path) as table, pq.ParquetWriter(path, schema) as writer:
        for group_number in range(table.num_row_groups):  # each is one batch, as it was written
            group = table.read_row_group(group_number)
            columns = {name: group[name].combine_chunks() for name in group.column_names}
            if isinstance(answer, Named):
                columns[answer.name] = answer.finish(columns[answer.name], draft.split)
            if scores:
                answers = columns[answer.name] if isinstance(answer, Named) else None
                columns[TEACHER_SCORES] = scores.write(columns[TEACHER_SCORES], answers)
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
    draft.path.unlink()
