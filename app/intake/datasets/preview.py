"""What a table was understood as, for the client to compare with what was meant."""

from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from app.domain.documents.table_reading import TableReading
from app.intake.datasets.notes import Notes
from app.intake.datasets.readers import OpenTable

_ROWS: Final = 3
_MAX_CHARACTERS: Final = 300
_MAX_ITEMS: Final = 50
_MAX_COLUMNS: Final = 20
_NAMED: Final = ("label", "labels", "tags")


def describe(
    table: OpenTable,
    path: Path,
    sources: dict[str, str],
    names: list[str],
    notes: Notes,
) -> TableReading:
    """How a table was read, of which the canonical form is in a file.

    Args:
        table: after its rows were read.
        path: of the canonical form.
        sources: by field, the column that it was read from.
        names: of labels, in order of their index.
        notes: what was left out and repaired.
    """
    split = table.place.split
    read = {
        part
        for column in sources.values()
        for part in (column, column.partition(".")[0], *column.split(", "))
    }
    others = [name for name in table.columns if name not in read]
    return TableReading(
        file=table.filename,
        format=table.format,
        options=table.options,
        columns=sources,
        other_columns=others[:_MAX_COLUMNS],
        left_out=notes.left_out[split].listed(),
        repaired={what: count for what, count in notes.repaired[split].items() if count},
        first_rows=_first_rows(path, names),
    )


def _first_rows(path: Path, names: list[str]) -> list[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(_ROWS)
        rows = [row for batch in islice(batches, 1) for row in batch.to_pylist()]
    return [{column: _shown(_by_name(column, value, names)) for column, value in row.items()} for row in rows]


def _by_name(column: str, value: Any, names: list[str]) -> Any:
    if column not in _NAMED or not names:
        return value
    return [names[index] for index in value] if isinstance(value, list) else names[value]


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _MAX_CHARACTERS else f"{value[:_MAX_CHARACTERS]}..."
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value[:_MAX_ITEMS]] + ["..."] * (len(value) > _MAX_ITEMS)
    return value
