"""Registering, finding and removing models."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from app.core.db import ProjectWriteSession
from app.core.db.base import database_time
from app.core.db.endpoints import endpoint_of_model
from app.core.db.jobs import uses_model
from app.core.db.models import Model, Origin, add_model, enqueue_deletion, lock_model
from app.core.db.ownership import actor_of
from app.core.db.usage import require_room
from app.core.ids import new_id
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.documents.gate import GateRelease
from app.domain.documents.manifest import FileEntry, ModelManifest
from app.domain.errors import Conflict, NotFound
from app.intake.models.hub import HubModel
from app.registry.reading import read_archive, read_from_hub, store
from app.registry.unread import forget_own_source
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
    with read_archive(archive, labels=labels, settings=settings) as (manifest, made):
        return _register(session, storage, manifest, made, name=name, origin="upload")


def register_from_hub(
    session: ProjectWriteSession,
    storage: Storage,
    found: HubModel,
    *,
    name: str,
    labels: list[str] | None,
    settings: Settings,
) -> Model:
    """Register a model that was found on the hub.

    Raises:
        InvalidRequest: it cannot be taken.
        TooLarge: it is larger than this server takes.
        Forbidden: it is more than the project may store.
        Unavailable: the hub does not answer.
    """
    with read_from_hub(found, labels=labels, settings=settings) as (manifest, made):
        return _register(session, storage, manifest, made, name=name, origin="hub")


def release_model(session: ProjectWriteSession, model_id: str, *, reason: str) -> Model:
    """Let a student be served although it misses the gate of its job.

    Raises:
        NotFound: there is no such model.
        Conflict: it is not withheld.
    """
    model = lock_model(session, model_id, "update")
    manifest = model.manifest
    if manifest.gate is None or not manifest.gate.is_withheld:
        raise Conflict(
            "model_not_withheld",
            f"No publish gate keeps model {model_id} from being served. There is nothing to release.",
            id=model_id,
        )
    actor = actor_of(session)
    assert actor is not None
    manifest.gate.release = GateRelease(at=database_time(session), by=actor.name, reason=reason)
    model.manifest_json = manifest.to_stored()
    session.flush()
    return model


def delete_model(session: ProjectWriteSession, storage: Storage, model_id: str) -> None:
    """Remove a model, then its files.

    Raises:
        NotFound: there is no such model.
        Conflict: an unfinished job or an endpoint needs it.
    """
    model = lock_model(session, model_id, "update")
    job = uses_model(session, model_id)
    if job is not None:
        raise Conflict(
            "model_in_use",
            f"Job {job.id} is {job.status} and uses this model. Cancel the job or wait until it finishes.",
            job=job.id,
        )
    endpoint = endpoint_of_model(session, model_id)
    if endpoint is not None:
        raise Conflict(
            "model_in_use",
            f"Endpoint {endpoint.name!r} stands for this model. Let the endpoint stand for another model, or "
            "delete the endpoint.",
            endpoint=endpoint.name,
        )
    forget_own_source(session, storage, model)
    delete_with_files(session, storage, model)
    enqueue_deletion(session, model)


def open_artifact(
    model: Model, storage: Storage, name: str
) -> tuple[FileEntry, Callable[[], Iterator[bytes]]]:
    """A file's entry and a way to its content.

    Raises:
        NotFound: the model has no such file.
    """
    files = model.manifest.downloads
    if name not in files.entries:
        raise NotFound("artifact", name)
    entry = files.entries[name]
    stored = model.manifest.other_names.get(name, name)
    return entry, lambda: _of_length(entry.size_bytes, storage.stream(f"{files.prefix}/{stored}"))


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
) -> Model:
    model_id = new_id("mdl")
    manifest = store(session, storage, manifest, folder, name=model_id)
    require_room(session, manifest.files.size_bytes)
    model = Model(id=model_id, name=name, origin=origin, manifest_json=manifest.to_stored())
    add_model(session, model)
    return model
