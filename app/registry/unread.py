"""Models that are read in the background: from the request to a model that is ready, or failed."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from app.background import Reading
from app.core.db import ProjectDatabase, ProjectWriteSession
from app.core.db.models import Model, add_unread_model, become_failed, become_ready
from app.core.db.uploads import keep_for, lock_upload
from app.core.db.usage import require_room
from app.core.settings import Settings
from app.core.storage import Storage, project_prefix
from app.domain.documents.manifest import HubSource, ModelManifest
from app.domain.documents.model_source import ModelSource, UploadSource
from app.domain.errors import NotFound, Unreadable
from app.intake.models.hub import HubModel, HubReference, find
from app.registry.reading import read_archive, read_from_hub, store
from app.uploads import service as uploads


def add_unread_file(
    session: ProjectWriteSession,
    storage: Storage,
    file: BinaryIO,
    *,
    size_bytes: int,
    name: str,
    labels: list[str] | None,
    settings: Settings,
) -> Model:
    """Have the archive of a request read in the background: it is stored as an upload of our own meanwhile.

    Raises:
        Forbidden: it is more than the project may store.
    """
    upload = uploads.store_whole(session, storage, file, size_bytes=size_bytes, keep=settings.keep_uploads)
    source = ModelSource(upload=UploadSource(id=upload.id, is_own=True), labels=labels)
    return _add(session, Model(name=name, origin="upload"), source)


def add_unread_upload(
    session: ProjectWriteSession, upload_id: str, *, name: str, labels: list[str] | None
) -> Model:
    """Have an upload read in the background.

    Raises:
        NotFound: there is none.
    """
    lock_upload(session, upload_id)
    source = ModelSource(upload=UploadSource(id=upload_id, is_own=False), labels=labels)
    return _add(session, Model(name=name, origin="upload"), source)


def add_unread_download(
    session: ProjectWriteSession, found: HubModel, *, name: str, labels: list[str] | None
) -> Model:
    """Have a model of the hub read in the background; what is to be downloaded is counted from now on.

    Raises:
        Forbidden: it is more than the project may store.
    """
    require_room(session, found.size_bytes)
    model = Model(name=name, origin="hub", size_bytes=found.size_bytes)
    return _add(session, model, ModelSource(hub=found.source, labels=labels))


def forget_own_source(session: ProjectWriteSession, storage: Storage, model: Model) -> None:
    """Remove the upload that was made to read a model, if there is one: no client knows of it."""
    if model.source is None:
        return
    source = ModelSource.from_stored(model.source, owner=model.id)
    if source.upload is not None and source.upload.is_own:
        _forget(session, storage, source.upload)


class ModelReader:
    """Reads models in the background."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self._storage = storage
        self._settings = settings

    def read(self, database: ProjectDatabase, reading: Reading) -> None:
        """As ``app.background.Reader`` has it."""
        source = ModelSource.from_stored(reading.source, owner=reading.id)
        self._clear_attempt(reading, reading.attempt - 1)
        with self._described(database, source, reading) as (manifest, made):
            reading.tell("storing")
            self._finish(database, source, reading, manifest, made)

    def fail(self, session: ProjectWriteSession, model: Model, *, code: str, message: str) -> None:
        """As ``app.background.Reader`` has it; an upload of the client's remains, to be tried otherwise."""
        forget_own_source(session, self._storage, model)
        become_failed(session, model, code=code, message=message)

    @contextmanager
    def _described(
        self, database: ProjectDatabase, source: ModelSource, reading: Reading
    ) -> Iterator[tuple[ModelManifest, Path]]:
        if source.upload is not None:
            with (
                self._opened(database, source.upload, reading) as archive,
                read_archive(archive, labels=source.labels, settings=self._settings) as described,
            ):
                yield described
        elif source.hub is not None:
            found = _find(source.hub, settings=self._settings)

            def tell(done_bytes: int) -> None:
                is_all = done_bytes == found.size_bytes
                step = "reading" if is_all else "downloading"
                reading.tell(step, done_bytes=done_bytes, total_bytes=found.size_bytes)

            with read_from_hub(found, labels=source.labels, settings=self._settings, tell=tell) as described:
                yield described
        else:
            raise Unreadable(reading.id, f"The source of {reading.id} is of no kind that this server knows.")

    @contextmanager
    def _opened(
        self, database: ProjectDatabase, source: UploadSource, reading: Reading
    ) -> Iterator[BinaryIO]:
        with database.transaction() as session:
            upload = lock_upload(session, source.id)
            keep_for(session, upload, self._settings.keep_uploads)
        with uploads.opened(self._storage, upload) as archive:
            reading.tell("reading")
            yield archive

    def _finish(
        self,
        database: ProjectDatabase,
        source: ModelSource,
        reading: Reading,
        manifest: ModelManifest,
        made: Path,
    ) -> None:
        with database.transaction() as session:
            name = _attempt_name(reading, reading.attempt)
            manifest = store(session, self._storage, manifest, made, name=name)
            model = reading.lock(session)
            if source.upload is not None:
                _forget(session, self._storage, source.upload)
            model.size_bytes = 0  # what was reserved
            session.flush()
            require_room(session, manifest.files.size_bytes)
            become_ready(session, model, manifest)

    def _clear_attempt(self, reading: Reading, attempt: int) -> None:
        """What the last attempt stored, if its process was lost in the middle of it."""
        prefix = project_prefix(reading.project_id, "models", _attempt_name(reading, attempt))
        self._storage.delete_prefix(prefix)


def _add(session: ProjectWriteSession, model: Model, source: ModelSource) -> Model:
    model.source = source.to_stored()
    add_unread_model(session, model)
    return model


def _forget(session: ProjectWriteSession, storage: Storage, source: UploadSource) -> None:
    with suppress(NotFound):  # it has expired, or its client has deleted it meanwhile
        uploads.remove(session, storage, source.id)


def _find(source: HubSource, *, settings: Settings) -> HubModel:
    return find(HubReference(hub=source.hub, revision=source.revision), settings=settings)


def _attempt_name(reading: Reading, attempt: int) -> str:
    return f"{reading.id}-{attempt}"
