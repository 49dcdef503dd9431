"""What the registry's endpoints take and give."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from app.core.db.models import Model
from app.dependencies import Name
from app.domain.architectures import AnyShape, FamilyName
from app.domain.documents.gate import GateResult
from app.domain.documents.manifest import ModelManifest
from app.domain.exact_types import ExactModel
from app.domain.tasks import Task
from app.intake.models.hub import HubReference


class UploadReference(ExactModel):
    """An archive with a Hugging Face folder that was sent to `/v1/uploads`."""

    upload: str = Field(description="Id of the upload, which is deleted once the model is registered.")


def _read_source(given: Any) -> Any:
    """Of the one kind that is meant, so that faults are named in it."""
    is_upload = isinstance(given, dict) and "upload" in given
    return (UploadReference if is_upload else HubReference).model_validate(given)


_Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
OutputNames = list[_Label] | dict[str, _Label]
_NAMES: TypeAdapter[OutputNames] = TypeAdapter(OutputNames)


def names_of(given: str | OutputNames | None) -> list[str] | None:
    """Names of a head's outputs in their order; as a form has them, in JSON.

    Raises:
        ValueError: they are no such names, or do not number outputs from 0 without gaps, or repeat.
    """
    if given is None:
        return None
    if isinstance(given, str):
        try:
            given = _NAMES.validate_json(given)
        except ValidationError:
            raise ValueError("use a JSON list of names, or an object from index to name") from None
    if isinstance(given, dict):
        by_index = {key.removeprefix("LABEL_"): name for key, name in given.items()}
        if set(by_index) != {str(index) for index in range(len(given))}:
            raise ValueError("number the outputs from 0 without gaps")
        given = [by_index[str(index)] for index in range(len(by_index))]
    if len(set(given)) != len(given):
        raise ValueError("two outputs have the same name")
    return given


def _check_names(given: OutputNames | None) -> OutputNames | None:
    names_of(given)
    return given


class ModelCreate(ExactModel):
    """A model to download from the hub, or to make of an upload."""

    name: Name
    labels: Annotated[
        Annotated[OutputNames, Field(min_length=1, max_length=1000)] | None, AfterValidator(_check_names)
    ] = Field(
        default=None,
        description="Names of the head's outputs, in place of those in config.json: a list in their order, "
        "or an object from index to name.",
    )
    source: Annotated[HubReference | UploadReference, BeforeValidator(_read_source)]


class ModelRelease(ExactModel):
    """Why a student is to be served although it misses its publish gate."""

    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00-\x08]*$"),
    ]


class Lineage(BaseModel):
    """What a model was made from; empty for an uploaded model."""

    job: str | None
    teacher: str | None
    dataset: str | None
    method: str | None


class ReadingProgress(BaseModel):
    """How far a model is read."""

    step: str = Field(description="waiting, downloading, reading or storing.")
    attempt: int = Field(description="It is read again if its process is lost or the hub does not respond.")
    done_bytes: int | None = Field(default=None, description="Of a download.")
    total_bytes: int | None = None

    @classmethod
    def of(cls, model: Model) -> "ReadingProgress | None":
        if model.status != "processing":
            return None
        return cls.model_validate({"step": "waiting", **(model.progress or {}), "attempt": model.attempt})


class ModelFailure(BaseModel):
    """Why a model could not be read."""

    code: str
    message: str


class ModelRead(BaseModel):
    """A registered model: an uploaded teacher, a fine-tuned one or a student."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    object: Literal["model"] = "model"
    created_at: datetime
    created: int = Field(description="The same in Unix seconds, as clients of OpenAI's API read it.")
    owned_by: str = Field(description="Id of the project that it belongs to.")
    name: str
    origin: str = Field(description="Where the model came from: upload, hub or job.")
    status: str = Field(
        description="`ready`; one that is read in the background is `processing` until then, and `failed` if "
        "it cannot be taken. Until it is ready all that is read of it is null."
    )
    progress: ReadingProgress | None = Field(description="Of a model that is processing.")
    error: ModelFailure | None = Field(
        description="Why it failed; while it is processing, why the last attempt failed, which is repeated."
    )
    architecture: FamilyName | None
    shape: AnyShape | None
    task: Task | None = Field(description="Null for an encoder without a task head.")
    labels: list[str] | None = Field(
        description="Labels of a text classifier or tags of a token classifier; null for other tasks."
    )
    parameters: int | None
    size_bytes: int = Field(
        description="Total size of all files; while a model of the hub is processing, of those to download."
    )
    sha256: str | None = Field(description="Digest of the content of all files.")
    lineage: Lineage
    gate: GateResult | None = Field(
        description="What the publish gate of its job says: with failures and without a release it is not "
        "served. Null where there was no gate."
    )
    metrics: dict[str, Any]
    manifest: ModelManifest | None

    @classmethod
    def of(cls, model: Model) -> "ModelRead":
        """As clients see it.

        Raises:
            Unreadable: a later version of the service wrote it, or it is damaged.
        """
        manifest = None if model.is_unread else model.manifest
        architecture = manifest and manifest.architecture
        return cls(
            id=model.id,
            created_at=model.created_at,
            created=int(model.created_at.timestamp()),
            owned_by=model.project_id,
            name=model.name,
            origin=model.origin,
            status=model.status,
            progress=ReadingProgress.of(model),
            error=model.error and ModelFailure.model_validate(model.error),
            architecture=architecture and architecture.family,
            shape=architecture and architecture.shape,
            task=manifest and manifest.task,
            labels=manifest and manifest.labels,
            parameters=manifest and manifest.parameters,
            size_bytes=model.size_bytes,
            sha256=manifest and manifest.files.digest,
            lineage=Lineage(
                job=model.job_id, teacher=model.teacher_id, dataset=model.dataset_id, method=model.method
            ),
            gate=manifest and manifest.gate,
            metrics=model.metrics,
            manifest=manifest and manifest.model_copy(update={"files": manifest.downloads}),
        )
