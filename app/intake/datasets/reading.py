"""What reads a data set in a process with limits: tables in, their canonical form and a manifest out."""

from pathlib import Path
from typing import Any, BinaryIO

from app.domain.documents.manifest import DatasetManifest, Files
from app.intake.datasets.columns import ColumnNames
from app.intake.datasets.given import MADE, Table
from app.intake.datasets.tables import prepare


def read_tables(argument: dict[str, Any], *files: BinaryIO) -> Any:
    folder = Path(argument["folder"], MADE)
    folder.mkdir()
    names: dict[Any, str] = argument["filenames"]
    prepared = prepare(
        {split: Table(file, name) for (split, name), file in zip(names.items(), files, strict=True)},
        folder,
        task=argument["task"],
        columns=ColumnNames.model_validate(argument["columns"]),
        labels=argument["labels"],
        label_type=argument["label_type"],
        max_rows=argument["max_rows"],
        max_bytes=argument["max_bytes"],
        scores_are=argument["scores_are"],
        required=("train", "dev"),
    )
    return DatasetManifest(
        files=Files(prefix="", entries={}),
        task=argument["task"],
        labels=prepared.labels,
        is_pair=prepared.is_pair,
        dimensions=prepared.dimensions,
        splits=prepared.splits,
        reading=prepared.reading,
    ).model_dump(mode="json")
