"""A data set from somebody: read in a process with limits, described here."""

import io
from collections.abc import Mapping
from pathlib import Path

from app.domain.documents.manifest import DatasetManifest, Split
from app.domain.tasks import Task
from app.intake.datasets.columns import Columns
from app.intake.datasets.given import MADE, LabelType, ScoresAre, Table
from app.intake.limited_process import LimitExceededError, Limits, require_plain_files, run_limited

_MEMORY_BYTES = 4 * 2**30
_CPU_S = 60
_CPU_S_PER_MB = 10
"""Of what is uploaded: a megabyte of rows takes 0.2 s, and packed well it may be fifty of them."""

_MAX_CPU_S = 3600
_WALL_PER_CPU = 4
_OVERHEAD_BYTES = 2**26
"""Of the canonical form, which is no longer than the rows themselves but for what describes them."""


def read_upload(
    tables: Mapping[Split, Table],
    folder: Path,
    *,
    task: Task,
    columns: Columns,
    labels: list[str] | None,
    label_type: LabelType | None = None,
    max_rows: int,
    max_bytes: int,
    scores_are: ScoresAre,
) -> tuple[DatasetManifest, Path]:
    """Check the tables of a data set; arguments as of ``app.intake.datasets.tables.prepare``.

    Args:
        tables: files with descriptors.
        folder: an empty one, for all that is made of them.
        task: as there.
        columns: as there.
        labels: as there.
        label_type: as there.
        max_rows: as there.
        max_bytes: as there.
        scores_are: as there.

    Returns:
        What it is, and the folder within ``folder`` with what is to be stored.

    Raises:
        InvalidRequest: a table cannot be taken as it is.
        TooLarge: more rows or bytes than allowed.
        Unavailable: the machine is too busy.
    """
    size_bytes = sum(table.file.seek(0, io.SEEK_END) for table in tables.values())
    cpu_s = min(_MAX_CPU_S, _CPU_S + _CPU_S_PER_MB * size_bytes // 10**6)
    limits = Limits(
        memory_bytes=_MEMORY_BYTES,
        cpu_s=cpu_s,
        wall_s=_WALL_PER_CPU * cpu_s,
        file_bytes=max_bytes + _OVERHEAD_BYTES,
    )
    argument = {
        "folder": str(folder),
        "filenames": {split: table.filename for split, table in tables.items()},
        "task": task,
        "columns": columns.model_dump(exclude_none=True),
        "labels": labels,
        "label_type": label_type,
        "max_rows": max_rows,
        "max_bytes": max_bytes,
        "scores_are": scores_are,
    }
    try:
        described = run_limited(
            "app.intake.datasets.reading:read_tables",
            argument,
            limits,
            files=[table.file for table in tables.values()],
            folder=folder,
            # Where they are installed, pyarrow would import them in each run, to tell lists from series.
            modules=["pandas", "pyarrow.pandas_compat"],
        )
    except LimitExceededError as error:
        raise error.explain("the tables", limits) from None
    require_plain_files(folder / MADE)
    return DatasetManifest.model_validate(described), folder / MADE
