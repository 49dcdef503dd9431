"""From uploaded tables to the canonical form: ``<split>.parquet`` with text, text_pair? and label indices."""

import re
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.core.errors import InvalidRequest, TooLarge
from app.core.manifest import Split, SplitCard
from app.datasets.tables import Place, Row, open_table

_BATCH_ROWS = 50_000
_BATCH_CHARACTERS = 16 * 2**20
_TEXT_PAIR = "text_pair"
_MAX_LABELS = 1000
_MIN_LABELS = 2
_MAX_LABEL_CHARACTERS = 200
_SHOWN = 5
_WORD = re.compile(r"\w+|[^\w\s]")
_INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}


class Columns(BaseModel):
    """Which column holds what."""

    model_config = ConfigDict(extra="forbid")

    text: str = "text"
    text_pair: str | None = Field(
        default=None, description="Default: `text_pair`, where there is such a column."
    )
    label: str = "label"

    @property
    def names(self) -> list[str]:
        return [self.text, self.text_pair or _TEXT_PAIR, self.label]

    @model_validator(mode="after")
    def _require_distinct(self) -> "Columns":
        if len(set(self.names)) < len(self.names):
            raise ValueError("text, text_pair and label are three columns; one is named twice")
        return self


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
    splits: dict[Split, SplitCard]


@dataclass
class _Draft:
    """A split on its way: its labels stay text until those of all splits are known."""

    split: Split
    path: Path
    columns: Columns
    is_pair: bool = False
    rows: int = 0
    words: Counter[int] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    label_types: set[type] = field(default_factory=set)


def prepare(
    tables: Mapping[Split, Table],
    folder: Path,
    *,
    columns: Columns,
    labels: list[str] | None,
    max_rows: int,
    max_bytes: int,
) -> Prepared:
    """Write each split in canonical form into an empty folder.

    Args:
        tables: by split; ``unlabeled`` needs no labels.
        folder: receives ``<split>.parquet``.
        columns: where the tables keep what.
        labels: the names in order; integers in the tables are then indices. Default: sorted.
        max_rows: over all splits.
        max_bytes: of each table, unpacked.

    Raises:
        InvalidRequest: a table cannot be taken as it is; the message names the row and what to do.
        TooLarge: more rows or bytes than allowed.
    """
    drafts: list[_Draft] = []
    for split, table in tables.items():
        draft = _Draft(split, folder / f"{split}.draft", columns)
        left = max_rows - sum(done.rows for done in drafts)
        with open_table(
            table.file, filename=table.filename, split=split, columns=columns.names, max_bytes=max_bytes
        ) as (place, rows):
            _write_draft(draft, place, islice(rows, left + 1))
        if draft.rows > left:
            raise TooLarge(
                "too_many_rows",
                f"The data set has more than the {max_rows:,} rows that this server takes. Send fewer.",
                max_rows=max_rows,
            )
        drafts.append(draft)
    _require_alike(drafts)
    names, index = _resolve_labels(drafts, labels)
    return Prepared(
        labels=names,
        is_pair=drafts[0].is_pair,
        splits={draft.split: _finish(draft, folder, names, index) for draft in drafts},
    )


def _write_draft(draft: _Draft, place: Place, rows: Iterator[Row]) -> None:
    """Check every row and write it, in batches: memory holds one of them."""
    first = next(rows, None)
    if first is None:
        raise InvalidRequest(
            "empty_split",
            f"{draft.split} has no rows. Send at least one, or leave an optional split out.",
            pointer=f"#/{draft.split}",
        )
    columns = draft.columns
    pair_column = columns.text_pair or (_TEXT_PAIR if _TEXT_PAIR in first else None)
    draft.is_pair = pair_column is not None
    is_labelled = draft.split != "unlabeled"
    schema = _schema(draft, pa.string())
    with pq.ParquetWriter(draft.path, schema) as writer:
        batch: list[dict[str, str]] = []
        characters = 0
        for row in chain([first], rows):
            canonical = {"text": _text(row, columns.text, place)}
            if pair_column:
                canonical["text_pair"] = _text(row, pair_column, place)
            draft.words[sum(len(_WORD.findall(text)) for text in canonical.values())] += 1
            if is_labelled:
                canonical["label"] = _label(row, columns.label, place, draft)
            draft.rows += 1
            batch.append(canonical)
            characters += sum(map(len, canonical.values()))
            if len(batch) == _BATCH_ROWS or characters > _BATCH_CHARACTERS:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
                batch.clear()
                characters = 0
        writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))


def _schema(draft: _Draft, label_type: pa.DataType) -> pa.Schema:
    fields: list[tuple[str, pa.DataType]] = [("text", pa.string())]
    if draft.is_pair:
        fields.append(("text_pair", pa.string()))
    if draft.split != "unlabeled":
        fields.append(("label", label_type))
    return pa.schema(fields)


def _text(row: Row, column: str, place: Place) -> str:
    text = _cell(row, column, place)
    if not isinstance(text, str):
        raise place.fault("invalid_text", f"{column!r} is {_kind(text)}, not text. Mend or remove the row.")
    if not text.strip():
        raise place.fault("empty_text", f"{column!r} is empty. Mend or remove the row.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise place.fault(
            "invalid_text", f"{column!r} holds half a character (a lone surrogate). Mend the row."
        )
    return text


def _label(row: Row, column: str, place: Place, draft: _Draft) -> str:
    label = _cell(row, column, place)
    if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
        raise place.fault(
            "invalid_label",
            f"the label is {_kind(label)}. Labels are names or whole numbers: write it as one.",
        )
    name = str(label)
    if not name.isprintable() or len(name) > _MAX_LABEL_CHARACTERS:
        raise place.fault(
            "invalid_label", f"a label is at most {_MAX_LABEL_CHARACTERS} printable characters."
        )
    draft.labels[name] += 1
    draft.label_types.add(type(label))
    if len(draft.labels) > _MAX_LABELS:
        raise place.fault(
            "too_many_labels",
            f"this is label {_MAX_LABELS + 1:,}. Text classification takes {_MAX_LABELS:,}.",
        )
    return name


def _cell(row: Row, column: str, place: Place) -> Any:
    if column not in row:
        there = ", ".join(map(repr, row))[:_MAX_LABEL_CHARACTERS]
        raise place.fault(
            "missing_column",
            f"there is no {column!r}, only {there or 'nothing'}. Name your columns in the field 'columns'.",
            column=column,
        )
    return row[column]


def _kind(value: Any) -> str:
    return "empty" if value in (None, "") else f"a {type(value).__name__} ({reprlib.repr(value)})"


def _require_alike(drafts: Sequence[_Draft]) -> None:
    pairs = [draft.split for draft in drafts if draft.is_pair]
    if 0 < len(pairs) < len(drafts):
        raise InvalidRequest(
            "pairs_in_some_splits",
            f"Only {', '.join(pairs)} has a second text. Give every split both columns, or none.",
        )
    if len(set().union(*(draft.label_types for draft in drafts))) > 1:
        raise InvalidRequest(
            "mixed_labels", "Some labels are names and some whole numbers. Use one of the two."
        )


def _resolve_labels(drafts: Sequence[_Draft], given: list[str] | None) -> tuple[list[str], dict[str, int]]:
    """The names in order, and the index of each label as the tables write it."""
    found = set(drafts[0].labels)
    are_integers = all(_INTEGER.fullmatch(label) for label in found)
    if given is None:
        names = sorted(found, key=int) if are_integers else sorted(found)
        index = {name: i for i, name in enumerate(names)}
    else:
        names = given
        by_index = drafts[0].label_types == {int} or (are_integers and not found <= set(given))
        index = {str(i) if by_index else name: i for i, name in enumerate(names)}
    if len(names) < _MIN_LABELS or len(found) < _MIN_LABELS:
        raise InvalidRequest(
            "too_few_labels",
            f"train has the one label {min(found)!r}. A classifier needs two.",
            pointer="#/train",
        )
    if strangers := sorted(found - set(index)):
        raise InvalidRequest(
            "unknown_labels",
            f"train has labels that 'labels' does not name: {_some(strangers)}. Name every one, in order.",
            pointer="#/labels",
            unknown=strangers[:_SHOWN],
        )
    for draft in drafts[1:]:
        if strangers := sorted(set(draft.labels) - found):
            raise InvalidRequest(
                "labels_not_in_train",
                f"{draft.split} has labels that train has not: {_some(strangers)}. "
                "Remove those rows, or add some to train.",
                pointer=f"#/{draft.split}",
                unknown=strangers[:_SHOWN],
            )
    return names, index


def _finish(draft: _Draft, folder: Path, names: list[str], index: dict[str, int]) -> SplitCard:
    """Rewrite a draft with indices for labels."""
    path = folder / f"{draft.split}.parquet"
    if draft.split == "unlabeled":
        draft.path.rename(path)
    else:
        written, meant = pa.array(list(index)), pa.array(list(index.values()), pa.int32())
        schema = _schema(draft, pa.int32())
        with pq.ParquetFile(draft.path) as table, pq.ParquetWriter(path, schema) as writer:
            for number in range(table.num_row_groups):  # each is one batch, as it was written
                group = table.read_row_group(number)
                labels = meant.take(pc.index_in(group["label"], value_set=written))
                writer.write_table(pa.Table.from_arrays([*group.columns[:-1], labels], schema=schema))
        draft.path.unlink()
    balance = dict.fromkeys(names, 0) | {names[index[label]]: n for label, n in draft.labels.items()}
    return SplitCard(
        rows=draft.rows,
        labels=None if draft.split == "unlabeled" else balance,
        words={name: _quantile(draft.words, share) for name, share in _QUANTILES.items()},
    )


def _quantile(counts: Counter[int], share: float) -> int:
    """The smallest value that at least this share of all values do not exceed."""
    needed = share * counts.total()
    reached = 0
    for value in sorted(counts):
        reached += counts[value]
        if reached >= needed:
            return value
    raise AssertionError("shares are at most 1")


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(map(repr, labels[:_SHOWN])) + more
