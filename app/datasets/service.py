"""Registering and removing data sets."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.core.db import ProjectWriteSession, after_rollback
from app.core.db.comparisons import forget_texts
from app.core.db.datasets import Dataset, lock_dataset
from app.core.db.jobs import uses_dataset
from app.core.db.usage import require_room
from app.core.ids import new_id
from app.core.settings import Settings
from app.core.storage import Storage, project_prefix
from app.domain.documents.manifest import DatasetManifest, Split
from app.domain.errors import Conflict
from app.domain.tasks import Task
from app.intake.datasets.columns import Columns
from app.intake.datasets.given import LabelType, ScoresAre, Table
from app.intake.datasets.upload import read_upload
from app.rows import delete_with_files


@dataclass(frozen=True)
class Upload:
    """Tables, and what a client says of them."""

    tables: Mapping[Split, Table]
    task: Task
    columns: Columns
    labels: list[str] | None
    label_type: LabelType | None
    scores_are: ScoresAre


@contextmanager
def read(upload: Upload, settings: Settings) -> Iterator[tuple[DatasetManifest, Path]]:
    """What tables are, and a folder with their canonical form, which is gone afterwards.

    Raises:
        InvalidRequest: a table cannot be taken as it is.
        TooLarge: more rows or bytes than this server takes.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-intake-") as folder:
        yield read_upload(
            upload.tables,
            Path(folder),
            task=upload.task,
            columns=upload.columns,
            labels=upload.labels,
            label_type=upload.label_type,
            max_rows=settings.max_rows,
            max_bytes=settings.max_unpacked_bytes,
            scores_are=upload.scores_are,
        )


def register(
    session: ProjectWriteSession, storage: Storage, upload: Upload, *, name: str, settings: Settings
) -> Dataset:
    """Check the tables, store them in canonical form and register them.

    Raises:
        InvalidRequest: a table cannot be taken as it is.
        TooLarge: more rows or bytes than this server takes.
        Forbidden: it is more than the project may store.
    """
    dataset_id = new_id("dst")
    prefix = project_prefix(session.project_id, "datasets", dataset_id)
    with read(upload, settings) as (manifest, made):
        after_rollback(session, lambda: storage.delete_prefix(prefix))
        files = storage.put_folder(prefix, made)
    require_room(session, files.size_bytes)
    manifest = manifest.model_copy(update={"files": files})
    dataset = Dataset(id=dataset_id, name=name, manifest_json=manifest.to_stored())
    session.add(dataset)
    session.flush()
    return dataset


def delete_dataset(session: ProjectWriteSession, storage: Storage, dataset_id: str) -> None:
    """Remove a data set, its texts in reports, then its files.

    Raises:
        NotFound: there is no such data set.
        Conflict: an unfinished job needs it.
    """
    dataset = lock_dataset(session, dataset_id, "update")
    job = uses_dataset(session, dataset_id)
    if job is not None:
        raise Conflict(
            "dataset_in_use",
            f"Job {job.id} is {job.status} and uses this data set. Cancel the job or wait until it finishes.",
            job=job.id,
        )
    forget_texts(session, dataset_id)
    delete_with_files(session, storage, dataset)
