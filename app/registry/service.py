"""Registering, finding and removing models."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from app.core.db import ProjectWriteSession, after_rollback
from app.core.db.jobs import uses_model
from app.core.db.models import Model, Origin, add_model, enqueue_deletion, lock_model
from app.core.db.usage import require_room
from app.core.ids import new_id
from app.core.settings import Settings
from app.core.storage import Storage, project_prefix
from app.domain.documents.manifest import FileEntry, HubSource, ModelManifest
from app.domain.errors import Conflict, NotFound
from app.intake.models.hub import HubReference, download
from app.intake.models.reading import UNPACKED
from app.intake.models.upload import read_download, read_upload
from app.rows import delete_with_files


def register_upload(
    session: ProjectWriteSession,
    storage: Storage,
    archive: BinaryIO,
    *,
    name: str,
    labels: list[str] | None,
    settings: Settings,
) -> Model:
    """Register the model in an archive; ``labels`` names its head's outputs, in place of its own names.

    Raises:
        InvalidRequest: the archive or the model in it cannot be taken.
        TooLarge: it unpacks to more than this server takes.
        Forbidden: it is more than the project may store.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-intake-") as folder:
        manifest, made = read_upload(
            archive, Path(folder), max_bytes=settings.max_unpacked_bytes, labels=labels
        )
        return _register(session, storage, manifest, made, name=name, origin="upload")


def register_from_hub(
    session: ProjectWriteSession,
    storage: Storage,
    reference: HubReference,
    *,
    name: str,
    labels: list[str] | None,
    settings: Settings,
) -> Model:
    """Register a model of the hub, at the commit that its revision names now.

    Raises:
        InvalidRequest: there is no such model, or it cannot be taken.
        TooLarge: it is larger than this server takes.
        Forbidden: it is more than the project may store.
        Unavailable: the hub does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-intake-") as folder:
        downloaded = Path(folder, UNPACKED)
        downloaded.mkdir()
        source = download(reference, downloaded, settings=settings)
        manifest, made = read_download(Path(folder), max_bytes=settings.max_unpacked_bytes, labels=labels)
        return _register(session, storage, manifest, made, name=name, origin="hub", source=source)


def delete_model(session: ProjectWriteSession, storage: Storage, model_id: str) -> None:
    """Remove a model, then its files.

    Raises:
        NotFound: there is no such model.
        Conflict: an unfinished job needs it.
    """
    model = lock_model(session, model_id, "update")
    job = uses_model(session, model_id)
    if job is not None:
        raise Conflict(
            "model_in_use",
            f"Job {job.id} is {job.status} and uses this model. Cancel the job or wait until it finishes.",
            job=job.id,
        )
    delete_with_files(session, storage, model)
    enqueue_deletion(session, model)


def open_artifact(
    model: Model, storage: Storage, name: str
) -> tuple[FileEntry, Callable[[], Iterator[bytes]]]:
    """A file's entry and a way to its content.

    Raises:
        NotFound: the model has no such file.
    """
    files = model.manifest.files
    if name not in files.entries:
        raise NotFound("artifact", name)
    entry = files.entries[name]
    return entry, lambda: _of_length(entry.size_bytes, storage.stream(f"{files.prefix}/{name}"))


def _of_length(size_bytes: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    received = 0
    for chunk in chunks:
        received += len(chunk)
        yield chunk
    if received < size_bytes:
        raise OSError(f"the store has {received:,} bytes of a file of {size_bytes:,}")


def _register(
    session: ProjectWriteSession,
    storage: Storage,
    manifest: ModelManifest,
    folder: Path,
    *,
    name: str,
    origin: Origin,
    source: HubSource | None = None,
) -> Model:
    model_id = new_id("mdl")
    prefix = project_prefix(session.project_id, "models", model_id)
    after_rollback(session, lambda: storage.delete_prefix(prefix))
    files = storage.put_folder(prefix, folder)
    require_room(session, files.size_bytes)
    manifest = manifest.model_copy(update={"files": files, "source": source})
    model = Model(id=model_id, name=name, origin=origin, manifest_json=manifest.to_stored())
    add_model(session, model)
    return model
