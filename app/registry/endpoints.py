"""``/v1/models``."""

from collections.abc import AsyncIterator, Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.json_schema import models_json_schema
from starlette.datastructures import UploadFile as StarletteUploadFile

from app.auth.routes import ProtectedRoute
from app.background import BackgroundReading
from app.core.db import ProjectDatabase, ProjectWriteSession, models
from app.core.db.models import Model
from app.core.db.usage import require_room
from app.core.settings import Settings
from app.core.storage import Storage
from app.dependencies import (
    DatabaseDep,
    DownloadPlacesDep,
    Name,
    Page,
    PageDep,
    SettingsDep,
    StorageDep,
    UploadPlacesDep,
    WholeDatabaseDep,
    page_of,
    require_known_fields,
)
from app.errors import problems
from app.idempotency.creation import CreationDep
from app.intake.models.hub import HubReference, find
from app.registry import service, unread
from app.registry.schemas import ModelCreate, ModelRead, ModelRelease, UploadReference, names_of
from app.rows import UnreadableRow, read_row
from app.signing.signer import sign
from app.uploads import service as uploads
from app.uploads.service import get_whole, opened

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=ProtectedRoute)

T = TypeVar("T")


class ModelUpload(BaseModel):
    """An archive with a Hugging Face folder."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    file: UploadFile = Field(description="The model folder as .zip, .tar or .tar.gz.")
    name: Name
    labels: Annotated[
        str | None,
        Field(
            description="Names of the head's outputs, in place of those in `config.json`: a JSON list in "
            'their order, or an object such as `{"0": "negative", "1": "positive"}`.'
        ),
    ] = None

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: str | None) -> str | None:
        if labels is not None:
            names_of(labels)
        return labels


_REFERENCES, _SCHEMAS = models_json_schema(
    [(ModelUpload, "validation"), (ModelCreate, "validation")], ref_template="#/components/schemas/{model}"
)
_REQUEST_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": _REFERENCES[ModelUpload, "validation"]},
        "application/json": {"schema": _REFERENCES[ModelCreate, "validation"]},
    },
}


def openapi_document() -> dict[str, Any]:
    """Of the bodies that this module reads itself, because a route of FastAPI takes one form alone."""
    return {"components": {"schemas": _SCHEMAS["$defs"]}}


async def read_source(request: Request) -> AsyncIterator[ModelUpload | ModelCreate]:
    """The body, in either of the two forms that it may take."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        body = await request.body()
        yield _validated(lambda: ModelCreate.model_validate_json(body))
        return
    # Of fields few are known; more are read so that a refusal can name those that are not.
    async with request.form(max_files=1, max_fields=10) as form:
        require_known_fields(form, list(ModelUpload.model_fields))
        fields: dict[str, Any] = dict(form)
        if isinstance(file := fields.get("file"), StarletteUploadFile):
            fields["file"] = UploadFile(file.file, size=file.size, filename=file.filename)
        yield _validated(lambda: ModelUpload.model_validate(fields))


def _validated(read: Callable[[], T]) -> T:
    """Say of a bad body what FastAPI says of those that it reads itself."""
    try:
        return read()
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from None


@router.post(
    "",
    status_code=201,
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses={
        202: {"model": ModelRead, "description": "Read in the background: poll it until it is `ready`."},
        **problems(400, 404, 408, 409, 413, 422, 500, 503, 507),
    },
)
async def create_model(
    request: Request,
    source: Annotated[ModelUpload | ModelCreate, Depends(read_source)],
    database: DatabaseDep,
    storage: StorageDep,
    settings: SettingsDep,
    upload_places: UploadPlacesDep,
    download_places: DownloadPlacesDep,
    creation: CreationDep,
    prefer: Annotated[
        str, Header(description="`respond-async` has a model of any size read in the background.")
    ] = "",
) -> ModelRead:
    """Register a model: upload an archive of its folder, or give its hub id, or an upload sent in parts.

    A small model is read at once and answered with a 201, a large one (256 MiB by default) with a 202: its
    `status` is `processing` until it is `ready`, or `failed` with an `error`. Only then it can be used.

    The folder contains `config.json`, the weights (`model.safetensors`, or shards with their index) and the
    tokenizer of an encoder, without a head or with one for text classification, regression to one number,
    named entities or masked-language modelling; or of a Marian translation model. The tokenizer is read as
    transformers reads the folder: from `tokenizer.json`, `vocab.txt`, `vocab.json` and `merges.txt`, or a
    SentencePiece model, with what `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`
    say. Folders of sentence-transformers, one checkpoint of a training and downloaded students of this
    service are taken, too. `manifest.notes` says what was assumed.

    A classifier's labels may be in any order: data sets are matched with them by name. `labels` names outputs
    that have no names, such as `LABEL_0`. Taggers may have the tags of any scheme: IO, IOB, BIOES, BILOU,
    BMES. One output goes through a sigmoid, unless `config.json` names `problem_type` `regression` or
    sentence-transformers' `Identity`.
    """
    in_background = _prefers_background(prefer)

    def register() -> ModelRead:
        with creation.transaction(database) as session:
            with database.reading() as reading:
                require_room(reading)  # before anything is read or downloaded
            model = _create(session, source, database, storage, settings, in_background=in_background)
            read = read_row(ModelRead.of, model)
            status = 202 if model.status == "processing" else 201
            return creation.answer(session, read, location=f"/v1/models/{model.id}", status=status)

    is_from_hub = isinstance(source, ModelCreate) and isinstance(source.source, HubReference)
    places = download_places if is_from_hub else upload_places
    read = await places.run(register)
    background: BackgroundReading = request.app.state.background
    background.wake()
    return read


def _create(
    session: ProjectWriteSession,
    source: ModelUpload | ModelCreate,
    database: ProjectDatabase,
    storage: Storage,
    settings: Settings,
    *,
    in_background: bool,
) -> Model:
    """Read the source at once or, where it is large or the client prefers it, have it read later."""
    name, labels = source.name, names_of(source.labels)

    def is_read_later(size_bytes: int) -> bool:
        return in_background or size_bytes > settings.background_above_bytes

    if isinstance(source, ModelUpload):
        file, size_bytes = source.file.file, source.file.size or 0
        if is_read_later(size_bytes):
            return unread.add_unread_file(
                session, storage, file, size_bytes=size_bytes, name=name, labels=labels, settings=settings
            )
        return service.register_upload(session, storage, file, name=name, labels=labels, settings=settings)
    if isinstance(source.source, UploadReference):
        upload = get_whole(database, source.source.upload, pointer="#/source/upload")
        if is_read_later(upload.total_bytes):
            return unread.add_unread_upload(session, upload.id, name=name, labels=labels)
        with opened(storage, upload) as archive:
            model = service.register_upload(
                session, storage, archive, name=name, labels=labels, settings=settings
            )
        uploads.remove(session, storage, upload.id)
        return model
    found = find(source.source, settings=settings)
    if is_read_later(found.size_bytes):
        return unread.add_unread_download(session, found, name=name, labels=labels)
    return service.register_from_hub(session, storage, found, name=name, labels=labels, settings=settings)


def _prefers_background(prefer: str) -> bool:
    """Whether a header ``Prefer`` (RFC 7240) asks not to wait."""
    preferences = (item.partition(";")[0].strip().lower() for item in prefer.split(","))
    return "respond-async" in preferences


@router.get("", responses=problems(422, 500, 503))
def list_models(page: PageDep, database: DatabaseDep) -> Page[ModelRead | UnreadableRow]:
    """List models, newest first."""
    with database.reading() as session:
        rows = models.list_models(session, limit=page.limit + 1, after=page.after)
    return page_of(ModelRead.of, rows, limit=page.limit)


@router.get("/{model_id}", responses=problems(404, 500, 503))
def get_model(model_id: str, database: DatabaseDep) -> ModelRead:
    """Get a model: its status, its lineage, its metrics, and its manifest with the sha256 of each file."""
    with database.reading() as session:
        return read_row(ModelRead.of, models.get_model(session, model_id))


@router.delete("/{model_id}", status_code=204, responses=problems(404, 409, 500, 503, 507))
def delete_model(model_id: str, database: DatabaseDep, storage: StorageDep) -> None:
    """Delete a model and its files, also while it is being read.

    Refused while an unfinished job or an endpoint uses it.
    """
    with database.transaction() as session:
        service.delete_model(session, storage, model_id)


@router.post("/{model_id}/release", responses=problems(400, 404, 408, 409, 413, 422, 500, 503, 507))
def release_model(model_id: str, body: ModelRelease, database: DatabaseDep) -> ModelRead:
    """Have a student served although it misses the publish gate of its job.

    Who did so, when and why stays with the model, and the audit log has the call.
    """
    with database.transaction() as session:
        return read_row(ModelRead.of, service.release_model(session, model_id, reason=body.reason))


@router.get(
    "/{model_id}/artifacts/{name:path}",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        304: {"description": "The client has it: the request's `If-None-Match` is its ETag."},
        **problems(404, 409, 500, 503),
    },
)
def download_artifact(
    model_id: str, name: str, request: Request, database: DatabaseDep, storage: StorageDep
) -> Response:
    """Download one file of a model. The ETag is its sha256."""
    with database.reading() as session:
        entry, stream = service.open_artifact(models.get_model(session, model_id), storage, name)
    headers = {"etag": f'"{entry.sha256}"', "cache-control": "private, immutable, max-age=31536000"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    headers |= {
        "content-length": str(entry.size_bytes),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(PurePosixPath(name).name)}",
    }
    return StreamingResponse(stream(), headers=headers, media_type="application/octet-stream")


@router.get(
    "/{model_id}/SHA256SUMS",
    response_class=PlainTextResponse,
    responses=problems(404, 409, 500, 503),
)
def get_model_checksums(model_id: str, database: DatabaseDep) -> Response:
    """Get the sha256 of each file of a model, as `sha256sum --check` reads it."""
    return PlainTextResponse(_checksums(database, model_id))


@router.get(
    "/{model_id}/SHA256SUMS.sig",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, **problems(404, 409, 500, 503)},
)
def get_model_signature(model_id: str, database: DatabaseDep, whole: WholeDatabaseDep) -> Response:
    """Get the signature of a model's SHA256SUMS by the newest of `/v1/signing-keys` (Ed25519, 64 bytes)."""
    signature = sign(whole, _checksums(database, model_id).encode())
    return Response(signature, media_type="application/octet-stream")


def _checksums(database: ProjectDatabase, model_id: str) -> str:
    with database.reading() as session:
        return models.get_model(session, model_id).manifest.downloads.checksums
