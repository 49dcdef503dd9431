"""``/v1/uploads``: large files in parts, by the tus protocol 1.0 (https://tus.io/protocols/resumable-upload)."""

import base64
import binascii
import tempfile
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from app.auth.routes import ProtectedRoute, PublicRoute
from app.core.db.uploads import Upload, get_upload
from app.dependencies import DatabaseDep, SettingsDep, StorageDep, UploadPlacesDep
from app.errors import CHECKSUM_MISMATCH, problems
from app.idempotency.creation import CreationDep
from app.middleware import OFFSET_OCTET_STREAM
from app.uploads import service
from app.uploads.body import ALGORITHMS, Checksum, receive

VERSION: Final = "1.0.0"

_CAPABILITIES = {
    "tus-version": VERSION,
    "tus-extension": "creation,expiration,checksum,termination",
    "tus-checksum-algorithm": ",".join(ALGORITHMS),
}
_PART = {
    "requestBody": {
        "required": True,
        "content": {OFFSET_OCTET_STREAM: {"schema": {"type": "string", "format": "binary"}}},
    }
}


async def speaks_tus(
    request: Request, tus_resumable: Annotated[str, Header(description="Version of the protocol.")] = ""
) -> None:
    """Raises HTTPException where the client speaks another version of the protocol, or none."""
    headers = request.scope["state"].setdefault("response_headers", {})
    headers["tus-resumable"] = VERSION
    if tus_resumable != VERSION:
        headers["tus-version"] = VERSION
        raise HTTPException(412, f"Send the header 'Tus-Resumable: {VERSION}': this speaks no other version.")


router = APIRouter(
    prefix="/v1/uploads", tags=["uploads"], route_class=ProtectedRoute, dependencies=[Depends(speaks_tus)]
)
public_router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=PublicRoute)


@public_router.options("", status_code=204)
async def describe_uploads(settings: SettingsDep) -> Response:
    """Tell what the server can do: version and extensions of tus, and the largest upload."""
    headers = {"tus-resumable": VERSION, "tus-max-size": str(settings.max_upload_bytes)}
    return Response(status_code=204, headers=_CAPABILITIES | headers)


class UploadRead(BaseModel):
    """A file that is received in parts."""

    id: str
    object: Literal["upload"] = "upload"
    created_at: datetime
    expires_at: datetime
    filename: str
    total_bytes: int
    received_bytes: int

    @classmethod
    def of(cls, upload: Upload) -> "UploadRead":
        return cls(
            id=upload.id,
            created_at=upload.created_at,
            expires_at=upload.expires_at,
            filename=upload.filename,
            total_bytes=upload.total_bytes,
            received_bytes=upload.size_bytes,
        )


@router.post("", status_code=201, responses=problems(400, 409, 412, 413, 422, 500, 503))
def create_upload(
    database: DatabaseDep,
    settings: SettingsDep,
    creation: CreationDep,
    response: Response,
    upload_length: Annotated[int, Header(ge=1, description="Bytes of the whole file.")],
    upload_metadata: Annotated[
        str,
        Header(
            description="Pairs of a name and a value in base64, separated by commas; of use is `filename`."
        ),
    ] = "",
) -> UploadRead:
    """Begin an upload, whose parts are then sent to its `Location` with PATCH.

    Models and data sets can be made of it when all has been received. It expires a day after its last part.
    """
    filename = _metadata(upload_metadata).get("filename", "")[:255]
    with creation.transaction(database) as session:
        upload = service.create(session, filename=filename, total_bytes=upload_length, settings=settings)
        response.headers.update(_expiry(upload))
        return creation.answer(session, UploadRead.of(upload), location=f"/v1/uploads/{upload.id}")


@router.head("/{upload_id}", response_class=Response, responses=problems(404, 412, 500, 503))
def get_upload_offset(upload_id: str, database: DatabaseDep) -> Response:
    """Tell how much of an upload was received, in `Upload-Offset`."""
    with database.reading() as session:
        upload = get_upload(session, upload_id)
    length = {"upload-length": str(upload.total_bytes), "cache-control": "no-store"}
    return Response(headers=_offset(upload) | length | _expiry(upload))


@router.patch(
    "/{upload_id}",
    status_code=204,
    openapi_extra=_PART,
    response_class=Response,
    responses=problems(400, 404, 408, 409, 412, 413, 422, CHECKSUM_MISMATCH, 500, 503, 507),
)
async def append_to_upload(
    request: Request,
    upload_id: str,
    database: DatabaseDep,
    storage: StorageDep,
    settings: SettingsDep,
    places: UploadPlacesDep,
    upload_offset: Annotated[int, Header(ge=0, description="Where in the file the body begins.")],
    upload_checksum: Annotated[
        str | None, Header(description="`sha1` or `sha256`, a space and the body's digest in base64.")
    ] = None,
) -> Response:
    """Send the next part of an upload, of any size. What had come of one that breaks off is kept."""
    checksum = None if upload_checksum is None else Checksum.parse(upload_checksum)

    def begun_upload() -> Upload:
        with database.reading() as session:
            upload = get_upload(session, upload_id)
        service.require_offset(upload, upload_offset)
        return upload

    def store(part: Path) -> Upload:
        with database.transaction() as session:
            return service.append(session, storage, begun, part, offset=upload_offset, settings=settings)

    begun = await places.run(begun_upload)  # before the body is read
    with tempfile.NamedTemporaryFile(prefix="squeeze-upload-") as file:
        await receive(request, file, checksum=checksum)
        upload = await places.run(lambda: store(Path(file.name)))
    return Response(status_code=204, headers=_offset(upload) | _expiry(upload))


@router.delete("/{upload_id}", status_code=204, responses=problems(404, 412, 500, 503))
def delete_upload(upload_id: str, database: DatabaseDep, storage: StorageDep) -> None:
    """Delete what was received of an upload."""
    with database.transaction() as session:
        service.remove(session, storage, upload_id)


def _offset(upload: Upload) -> dict[str, str]:
    return {"upload-offset": str(upload.size_bytes)}


def _expiry(upload: Upload) -> dict[str, str]:
    return {"upload-expires": format_datetime(upload.expires_at, usegmt=True)}


def _metadata(header: str) -> dict[str, str]:
    found: dict[str, Any] = {}
    for pair in filter(None, (pair.strip() for pair in header.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise HTTPException(
                400, f"Upload-Metadata: the value of {name!r} must be text in base64."
            ) from None
    return found
