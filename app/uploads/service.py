"""Files in parts: each part an object in the store, put together when something is made of the file."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from app.core.db import ProjectDatabase, ProjectWriteSession, after_commit, after_rollback
from app.core.db.uploads import Upload, get_upload, keep_for, lock_upload
from app.core.db.usage import require_room
from app.core.ids import new_id
from app.core.settings import Settings
from app.core.storage import Storage, project_prefix
from app.domain.errors import Conflict, InvalidRequest, TooLarge

_MOST_PARTS = 10_000


def create(session: ProjectWriteSession, *, filename: str, total_bytes: int, settings: Settings) -> Upload:
    """Begin an upload.

    Raises:
        TooLarge: it is to be larger than this server takes.
        Forbidden: it is more than the project may store.
    """
    if total_bytes > settings.max_upload_bytes:
        raise TooLarge(
            "upload_too_large",
            f"The upload has {total_bytes:,} bytes, more than the limit of {settings.max_upload_bytes:,}.",
            total_bytes=total_bytes,
            max_bytes=settings.max_upload_bytes,
        )
    require_room(session, total_bytes)
    upload = _new_upload(session, filename, total_bytes)
    keep_for(session, upload, settings.keep_uploads)
    session.add(upload)
    session.flush()
    return upload


def store_whole(
    session: ProjectWriteSession,
    storage: Storage,
    file: BinaryIO,
    *,
    size_bytes: int,
    keep: timedelta,
    filename: str = "",
    purpose: str | None = None,
) -> Upload:
    """Make an upload of a file that came with one request.

    Args:
        session: in which nothing has been asked yet: no transaction is open while the file is stored.
        storage: gets it.
        file: to be read from its beginning.
        size_bytes: of the file.
        keep: how long.
        filename: as the client calls it.
        purpose: where it is a file that clients are shown; None: nobody is told of it.

    Raises:
        Forbidden: it is more than the project may store.
    """
    upload = _new_upload(session, filename, size_bytes)
    upload.purpose = purpose
    key = f"{upload.prefix}/{0:015d}"
    after_rollback(session, lambda: storage.delete_files([key]))
    storage.put_file(key, file)
    require_room(session, size_bytes)
    upload.parts, upload.size_bytes = [key], size_bytes
    keep_for(session, upload, keep)
    session.add(upload)
    session.flush()
    return upload


def _new_upload(session: ProjectWriteSession, filename: str, total_bytes: int) -> Upload:
    upload_id = new_id("upl")
    prefix = project_prefix(session.project_id, "uploads", upload_id)
    return Upload(id=upload_id, filename=filename, total_bytes=total_bytes, prefix=prefix)


def append(
    session: ProjectWriteSession,
    storage: Storage,
    begun: Upload,
    part: Path,
    *,
    offset: int,
    settings: Settings,
) -> Upload:
    """Add a part to an upload.

    Args:
        session: in which nothing has been asked yet: no transaction is open while the part is stored.
        storage: gets it.
        begun: the upload as it was read before.
        part: a file; where it is empty, nothing is added.
        offset: of its content in the upload.
        settings: how long the upload is kept from now on.

    Raises:
        NotFound: there is no such upload any more.
        Conflict: it goes on at another offset.
        TooLarge: it would be larger than it was to be.
    """
    size_bytes = part.stat().st_size
    key = f"{begun.prefix}/{offset:015d}-{uuid4().hex}"
    after_rollback(session, lambda: storage.delete_files([key]))
    if size_bytes:
        storage.put_file(key, part)
    upload = lock_upload(session, begun.id)
    require_offset(upload, offset)
    if offset + size_bytes > upload.total_bytes:
        raise TooLarge(
            "upload_too_long",
            f"The upload was to have {upload.total_bytes:,} bytes and this part ends at "
            f"{offset + size_bytes:,}.",
            total_bytes=upload.total_bytes,
        )
    if len(upload.parts) >= _MOST_PARTS:
        raise TooLarge(
            "too_many_parts", f"The upload came in {_MOST_PARTS:,} parts. Start again with larger ones."
        )
    if size_bytes:
        upload.parts = [*upload.parts, key]
        upload.size_bytes += size_bytes
    keep_for(session, upload, settings.keep_uploads)
    return upload


def require_offset(upload: Upload, offset: int) -> None:
    """Raises Conflict where the upload goes on at another one."""
    if offset != upload.size_bytes:
        raise Conflict(
            "wrong_offset",
            f"The upload goes on at byte {upload.size_bytes:,}, not at {offset:,}. HEAD tells where it does.",
            offset=upload.size_bytes,
        )


def remove(session: ProjectWriteSession, storage: Storage, upload_id: str) -> None:
    """Forget an upload, then delete what was received of it."""
    upload = lock_upload(session, upload_id)
    session.delete(upload)
    after_commit(session, lambda: storage.delete_prefix(upload.prefix))


def get_whole(database: ProjectDatabase, upload_id: str, *, pointer: str) -> Upload:
    """An upload of which all was received. No transaction is open afterwards: what is made of it takes long.

    Raises:
        NotFound: there is none.
        InvalidRequest: a part is missing; ``pointer`` is where the request names it.
    """
    with database.reading() as session:
        upload = get_upload(session, upload_id)
    if not upload.is_whole:
        raise InvalidRequest(
            "upload_incomplete",
            f"Of the upload {upload_id!r} {upload.size_bytes:,} of {upload.total_bytes:,} bytes were "
            "received. Send the rest first.",
            pointer=pointer,
            id=upload_id,
            received_bytes=upload.size_bytes,
            total_bytes=upload.total_bytes,
        )
    return upload


def content_of(storage: Storage, upload: Upload) -> Iterator[bytes]:
    """The content, in chunks.

    Raises:
        OSError: the store has less of it.
    """
    size_bytes = 0
    for key in upload.parts:
        for chunk in storage.stream(key):
            size_bytes += len(chunk)
            yield chunk
    if size_bytes < upload.size_bytes:
        raise OSError(f"the store has {size_bytes:,} bytes of an upload of {upload.size_bytes:,}")


@contextmanager
def opened(storage: Storage, upload: Upload) -> Iterator[BinaryIO]:
    """The content, in a temporary file."""
    with tempfile.TemporaryFile() as file:
        file.writelines(content_of(storage, upload))
        file.seek(0)
        yield file
