"""Reading a model, and storing what was read."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.core.db import ProjectWriteSession, after_rollback
from app.core.settings import Settings
from app.core.storage import Storage, project_prefix
from app.domain.documents.manifest import ModelManifest
from app.intake.models.hub import HubModel, fetch
from app.intake.models.reading import UNPACKED
from app.intake.models.upload import read_download, read_upload


@contextmanager
def read_archive(
    archive: BinaryIO, *, labels: list[str] | None, settings: Settings
) -> Iterator[tuple[ModelManifest, Path]]:
    """What the model in an archive is, and a folder with its files, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="squeeze-intake-") as folder:
        yield read_upload(archive, Path(folder), max_bytes=settings.max_unpacked_bytes, labels=labels)


@contextmanager
def read_from_hub(
    found: HubModel,
    *,
    labels: list[str] | None,
    settings: Settings,
    tell: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[ModelManifest, Path]]:
    """The same of a model of the hub; ``tell`` is told how many bytes have come."""
    with tempfile.TemporaryDirectory(prefix="squeeze-intake-") as folder:
        downloaded = Path(folder, UNPACKED)
        downloaded.mkdir()
        fetch(found, downloaded, settings=settings, tell=tell)
        manifest, made = read_download(Path(folder), max_bytes=settings.max_unpacked_bytes, labels=labels)
        yield manifest.model_copy(update={"source": found.source}), made


def store(
    session: ProjectWriteSession, storage: Storage, manifest: ModelManifest, folder: Path, *, name: str
) -> ModelManifest:
    """Store a model's files, under a name of their own; the manifest with them.

    In a session in which nothing has been asked yet: no transaction is open meanwhile.
    """
    prefix = project_prefix(session.project_id, "models", name)
    after_rollback(session, lambda: storage.delete_prefix(prefix))
    return manifest.model_copy(update={"files": storage.put_folder(prefix, folder)})
