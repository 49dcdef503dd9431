"""Splits of a data set's canonical folder."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_split(folder: Path, split: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A split, whole or of these columns."""
    # Not pyarrow's read_table, which imports its data sets, and pandas where it is installed: a second a job.
    with pq.ParquetFile(folder / f"{split}.parquet") as file:
        return file.read(columns=None if columns is None else list(columns))
