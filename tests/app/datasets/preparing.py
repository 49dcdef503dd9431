"""Tables read in this process, which takes milliseconds where a request takes half a second."""

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.domain.documents.table_reading import DatasetReading, TableReading
from app.domain.errors import InvalidRequest
from app.intake.datasets.columns import ColumnNames
from app.intake.datasets.given import Table
from app.intake.datasets.tables import Prepared, prepare

TableFile = tuple[str, bytes]


@dataclass(frozen=True)
class Read:
    """What became of tables."""

    prepared: Prepared
    stored: dict[str, dict[str, list[Any]]]
    """Columns by split, labels and tags by name."""

    @property
    def reading(self) -> DatasetReading:
        return self.prepared.reading

    @property
    def train(self) -> TableReading:
        return self.reading.splits["train"]

    @property
    def rows(self) -> dict[str, list[Any]]:
        return self.stored["train"]


def read(
    train: TableFile,
    dev: TableFile | None = None,
    *,
    task: str = "text_classification",
    columns: dict[str, str] | None = None,
    **options: Any,
) -> Read:
    """What the service makes of tables; ``dev`` is ``train`` by default, other splits are options."""
    tables = {"train": train, "dev": dev or train}
    tables |= {split: options.pop(split) for split in ("test", "unlabeled") if split in options}
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(
            {split: Table(io.BytesIO(content), name) for split, (name, content) in tables.items()},
            Path(folder),
            task=task,
            columns=ColumnNames.model_validate(columns or {}),
            **{"labels": None, "max_rows": 10**6, "max_bytes": 10**8} | options,
        )
        stored = {path.stem: _named(path, prepared.labels) for path in Path(folder).iterdir()}
    json.dumps(prepared.reading.model_dump(mode="json"))
    return Read(prepared, stored)


def refused(train: TableFile, dev: TableFile | None = None, **options: Any) -> InvalidRequest:
    """Why the service does not take tables."""
    with pytest.raises(InvalidRequest) as caught:
        read(train, dev, **options)
    return caught.value


def _named(path: Path, names: list[str]) -> dict[str, list[Any]]:
    columns = pq.read_table(path).to_pydict()
    for column in {"label", "labels", "tags"} & columns.keys():
        columns[column] = [
            [names[index] for index in value] if isinstance(value, list) else names[value]
            for value in columns[column]
        ]
    return columns
