"""What a client sends: files of tables, and what it says of them.

The API itself needs no more of tables than this; what reads them runs in a process of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeAlias

LabelType: TypeAlias = Literal["boolean", "float"]
"""What labels are besides names and integers."""

ScoresAre: TypeAlias = Literal["probabilities", "logits"]

MADE: Final = "made"
"""In the folder of the process that reads tables: what is to be stored."""

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz")

FORMATS: Final[Mapping[str, str]] = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".tab": "delimited",
    ".txt": "text",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
"""By the ending of a name, which reader looks at the content."""


@dataclass(frozen=True)
class Table:
    """An uploaded file."""

    file: BinaryIO
    filename: str


@dataclass(frozen=True)
class Member:
    """A file that came out of an archive."""

    path: Path
    filename: str
    """Within the archive."""
    class_labels: Mapping[str, list[str]]
    """By column, the names for integers that a description beside the file has."""


def ending_of(filename: str) -> str | None:
    """That of ``FORMATS`` which a name has, but for .gz; None where it has none."""
    stem = filename.lower().removesuffix(".gz")
    return next((ending for ending in FORMATS if stem.endswith(ending)), None)


def is_archive(filename: str) -> bool:
    name = filename.lower()
    return name.endswith(ARCHIVES) and not any(name.endswith(f"{ending}.gz") for ending in FORMATS)
