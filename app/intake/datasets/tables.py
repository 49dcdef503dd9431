"""From uploaded tables to the canonical form that ``DatasetManifest`` describes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.documents.manifest import Split, SplitSummary
from app.domain.documents.table_reading import DatasetReading
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import TEACHER_SCORES
from app.intake.datasets.archives import unpacked
from app.intake.datasets.columns import Columns
from app.intake.datasets.drafts import Draft, DraftWriter, EmptySplit
from app.intake.datasets.given import LabelType, ScoresAre, Table
from app.intake.datasets.labels import LabelOptions
from app.intake.datasets.notes import Notes
from app.intake.datasets.preview import describe
from app.intake.datasets.quantiles import quantiles
from app.intake.datasets.readers import open_table
from app.intake.datasets.rows import BadRows, RowBudget
from app.intake.datasets.score_columns import LabelOrder, NumberBudget, ScoreWriter, require_names
from app.intake.datasets.tags import Tags
from app.intake.datasets.target_columns import Named, answer_of
from app.intake.datasets.teacher_scores import TeacherScores


@dataclass(frozen=True)
class Prepared:
    """What a set of uploads turned out to be."""

    labels: list[str]
    is_pair: bool
    """Of train."""
    dimensions: int | None
    """Of the vectors that teachers say."""
    splits: dict[Split, SplitSummary]
    reading: DatasetReading


def prepare(
    tables: Mapping[Split, Table],
    folder: Path,
    *,
    task: Task,
    columns: Columns,
    labels: list[str] | None,
    label_type: LabelType | None = None,
    max_rows: int,
    max_bytes: int,
    scores_are: ScoresAre = "probabilities",
    required: Collection[Split] = (),
) -> Prepared:
    """Write each split in canonical form into an empty folder.

    Args:
        tables: by split; ``unlabeled`` needs nothing of what is to be predicted. An archive for train may
            hold other splits that are not given.
        folder: receives ``<split>.parquet``.
        task: says which columns there are.
        columns: where the tables keep what.
        labels: the names in order; integers in the tables are then indices. Default: sorted.
        label_type: what labels are besides names and integers.
        max_rows: over all splits, blank lines among them.
        max_bytes: of each table, unpacked.
        scores_are: what numbers of teachers' scores are.
        required: splits that must be there.

    Raises:
        InvalidRequest: a split is missing, or a table cannot be taken as it is; the message names the row and
            what to do.
        TooLarge: more rows or bytes than allowed.
    """
    where = columns.of(task)
    notes, bad = Notes(), BadRows()
    answer = answer_of(task, where, LabelOptions(labels, label_type), notes)
    scores = None if TASKS[task].scoring is None else TeacherScores(task, where, scores_are)
    writer = DraftWriter(task, where, answer, scores, notes, bad, labels or ())
    drafts: list[Draft] = []
    budget = RowBudget(max_rows)
    with ExitStack() as stack:
        found = unpacked(tables, stack, max_bytes=max_bytes)
        _require(required, found)
        for split, files in sorted(found.items(), key=lambda item: item[0] == "unlabeled"):
            with (
                _optional(split not in tables, notes),
                open_table(
                    files,
                    split=split,
                    wanted=writer.wanted(split),
                    max_bytes=max_bytes,
                    budget=budget,
                    notes=notes,
                ) as opened,
            ):
                drafts.append(writer.write(opened, folder))
                if split == "train" and "unlabeled" in found:
                    writer.learn_words(drafts[-1])
    bad.raise_any()
    if TASKS[task].takes_pairs:
        _require_alike(drafts)
    if scores and isinstance(answer, Named) and any(d.by_teacher for d in drafts if d.split == "train"):
        answer.take(require_names(scores, labels))
    names = answer.settle() if answer else []
    order = LabelOrder(names, answer.spellings() if isinstance(answer, Named) else {}, labels)
    numbers = NumberBudget(max_bytes)
    splits: dict[Split, SplitSummary] = {}
    for draft in drafts:
        with _optional(draft.split not in tables, notes):
            splits[draft.split] = _finish(draft, folder, order, numbers, notes)
    reading = DatasetReading(
        splits={
            draft.split: describe(draft.table, folder / f"{draft.split}.parquet", draft.sources, names, notes)
            for draft in drafts
            if draft.split in splits
        },
        tag_scheme=answer.scheme if isinstance(answer, Tags) else None,
        label_order=answer.order if isinstance(answer, Named) else None,
        warnings=notes.warnings,
    )
    [is_pair] = [draft.is_pair for draft in drafts if draft.split == "train"] or [drafts[0].is_pair]
    return Prepared(names, is_pair, None if scores is None else scores.dimensions, splits, reading)


def _require(splits: Collection[Split], found: Collection[Split]) -> None:
    for split in splits:
        if split not in found:
            raise InvalidRequest(
                "missing_split",
                f"No table was sent for {split}, and train is no archive that has a file or folder of that "
                "name. Send one.",
                pointer=f"#/{split}",
            )


@contextmanager
def _optional(may_be_empty: bool, notes: Notes) -> Iterator[None]:
    """Goes on without a split that nobody sent by itself and that has no rows, and says so."""
    try:
        yield
    except EmptySplit as error:
        if not may_be_empty:
            raise
        notes.warn(f"The archive's split was left out: {error.message.partition('. ')[0]}.")


def _require_alike(drafts: Sequence[Draft]) -> None:
    pairs = [draft.split for draft in drafts if draft.is_pair]
    if 0 < len(pairs) < len(drafts):
        raise InvalidRequest(
            "inconsistent_text_pairs",
            f"Only {', '.join(pairs)} has the column text_pair. Use it in all splits or in none.",
        )


def _finish(
    draft: Draft, folder: Path, order: LabelOrder, numbers: NumberBudget, notes: Notes
) -> SplitSummary:
    path = folder / f"{draft.split}.parquet"
    writer = None
    if draft.scores and draft.scores.rows[draft.split]:
        writer = ScoreWriter(draft.scores, draft.split, draft.table.place.unit, order, numbers)
    if draft.scores or isinstance(draft.answer, Named):
        _rewrite(draft, writer, path)
    else:
        draft.path.rename(path)
    if not draft.rows:
        path.unlink()
        raise EmptySplit(draft.split, notes)
    return SplitSummary(
        rows=draft.rows,
        words=quantiles(draft.words),
        languages=dict(sorted(draft.languages.items())) or None,
        teacher_scores=writer.summary() if writer else None,
        labelled_by_teacher=draft.by_teacher or None,
        **(draft.answer.summary(draft.split) if draft.answer else {}),
    )


def _rewrite(draft: Draft, scores: ScoreWriter | None, path: Path) -> None:
    """Put indices in place of codes, and logits in place of what teachers say.

    Rows are left out whose answer turned out to be none.
    """
    answer, schema = draft.answer, draft.schema
    place = schema.get_field_index(TEACHER_SCORES)
    if place >= 0:
        schema = schema.remove(place)
    if scores:
        schema = schema.append(pa.field(TEACHER_SCORES, scores.type))
    with pq.ParquetFile(draft.path) as table, pq.ParquetWriter(path, schema) as writer:
        for group_number in range(table.num_row_groups):  # each is one batch, as it was written
            group = table.read_row_group(group_number)
            made: Any = None
            if isinstance(answer, Named):
                made, has_answer = answer.finish(group[answer.name].combine_chunks(), draft.split)
                draft.forget(group.filter(pa.array(~np.asarray(has_answer))))
                group = group.filter(has_answer)
            columns = {name: group[name].combine_chunks() for name in group.column_names}
            if made is not None and answer is not None:
                columns[answer.name] = made
            if scores:
                columns[TEACHER_SCORES] = scores.write(columns[TEACHER_SCORES], made)
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
    draft.path.unlink()
