"""``/v1/files``, as the clients of OpenAI's API send and ask for files: uploads that came whole."""

from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Query, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from app.auth.routes import ProtectedRoute
from app.core.db import uploads
from app.core.db.uploads import Upload
from app.core.settings import Settings
from app.datasets.endpoints import read_fields
from app.dependencies import (
    DatabaseDep,
    Page,
    PageDep,
    SettingsDep,
    StorageDep,
    UploadPlacesDep,
    page_of,
)
from app.domain.errors import InvalidRequest
from app.errors import problems
from app.idempotency.creation import CreationDep
from app.rows import UnreadableRow
from app.uploads import service

router = APIRouter(prefix="/v1/files", tags=["fine-tuning"], route_class=ProtectedRoute)

Purpose = Literal["fine-tune"]


class FileRead(BaseModel):
    """A file that a fine-tuning job can be given."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int = Field(description="Unix seconds.")
    expires_at: int = Field(description="Unix seconds; data sets that were made of it stay.")
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"

    @classmethod
    def of(cls, file: Upload) -> "FileRead":
        return cls(
            id=file.id,
            bytes=file.size_bytes,
            created_at=int(file.created_at.timestamp()),
            expires_at=int(file.expires_at.timestamp()),
            filename=file.filename,
            purpose=file.purpose or "",
        )


class FileDeleted(BaseModel):
    """What is left of a file."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(read_fields)],
    responses=problems(400, 403, 408, 409, 413, 422, 500, 503, 507),
    form_limits={"max_files": 1, "max_fields": 10},
)
async def create_file(
    file: UploadFile,
    purpose: Annotated[Purpose, Form(description="Files are for fine-tuning alone.")],
    database: DatabaseDep,
    storage: StorageDep,
    settings: SettingsDep,
    places: UploadPlacesDep,
    creation: CreationDep,
    anchor: Annotated[Literal["created_at"] | None, Form(alias="expires_after[anchor]")] = None,
    seconds: Annotated[
        int | None,
        Form(
            alias="expires_after[seconds]",
            ge=1,
            description="How long it is kept; default and maximum: as long as uploads are, a day by default.",
        ),
    ] = None,
) -> FileRead:
    """Send a file that a fine-tuning job is to be given: a table in any of the formats of data sets.

    It is read when a job names it. Larger files can be sent in parts to `/v1/uploads`, whose ids jobs take
    in place of a file's.
    """
    keep = _keep(anchor, seconds, settings)
    size_bytes = file.size or 0
    if not size_bytes:
        raise InvalidRequest("empty_file", "The file is empty. Send a table.", pointer="#/file")

    def store() -> FileRead:
        with creation.transaction(database) as session:
            stored = service.store_whole(
                session,
                storage,
                file.file,
                size_bytes=size_bytes,
                keep=keep,
                filename=(file.filename or "")[:255],
                purpose=purpose,
            )
            return creation.answer(session, FileRead.of(stored), location=f"/v1/files/{stored.id}")

    return await places.run(store)


@router.get("", responses=problems(422, 500, 503))
def list_files(
    page: PageDep,
    database: DatabaseDep,
    order: Annotated[Literal["asc", "desc"], Query(description="By creation; desc: newest first.")] = "desc",
    purpose: Annotated[str | None, Query(description="Files of this purpose; all have one.")] = None,
) -> Page[FileRead | UnreadableRow]:
    """List files."""
    if purpose not in (None, "fine-tune"):
        return Page(data=[], has_more=False)
    with database.reading() as session:
        rows = uploads.list_files(
            session, limit=page.limit + 1, after=page.after, oldest_first=order == "asc"
        )
    return page_of(FileRead.of, rows, limit=page.limit)


@router.get("/{file_id}", responses=problems(404, 500, 503))
def get_file(file_id: str, database: DatabaseDep) -> FileRead:
    """Get a file: its name, its size, and when it expires."""
    with database.reading() as session:
        return FileRead.of(uploads.get_file(session, file_id))


@router.get(
    "/{file_id}/content",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}, **problems(404, 500, 503)},
)
def get_file_content(file_id: str, database: DatabaseDep, storage: StorageDep) -> StreamingResponse:
    """Get the content of a file."""
    with database.reading() as session:
        file = uploads.get_file(session, file_id)
    headers = {
        "content-length": str(file.size_bytes),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename)}",
    }
    return StreamingResponse(
        service.content_of(storage, file), headers=headers, media_type="application/octet-stream"
    )


@router.delete("/{file_id}", responses=problems(404, 500, 503))
def delete_file(file_id: str, database: DatabaseDep, storage: StorageDep) -> FileDeleted:
    """Delete a file. Data sets that were made of it stay."""
    with database.transaction() as session:
        service.remove(session, storage, uploads.get_file(session, file_id).id)
    return FileDeleted(id=file_id)


def _keep(anchor: str | None, seconds: int | None, settings: Settings) -> timedelta:
    """How long a file is kept.

    Raises:
        InvalidRequest: half of it is said, or it is longer than files are kept here.
    """
    longest = settings.keep_uploads
    if anchor is None and seconds is None:
        return longest
    if anchor is None or seconds is None:
        absent = "anchor" if anchor is None else "seconds"
        raise InvalidRequest(
            "incomplete_expiry",
            f"expires_after has no {absent}. Give both anchor and seconds, or neither.",
            pointer="#/expires_after",
        )
    if seconds > longest.total_seconds():
        raise InvalidRequest(
            "kept_too_long",
            f"Files are kept for at most {longest.total_seconds():,.0f} seconds here, not for {seconds:,}. "
            "Register a data set to keep its content.",
            pointer="#/expires_after/seconds",
            seconds=seconds,
            max_seconds=longest.total_seconds(),
        )
    return timedelta(seconds=seconds)
