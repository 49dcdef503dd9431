"""What the registry's endpoints take and give."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.core.db.models import Model
from app.dependencies import Name
from app.domain.architectures import AnyShape, FamilyName
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


class ModelCreate(ExactModel):
    """A model to download from the hub, or to make of an upload."""

    name: Name
    source: Annotated[HubReference | UploadReference, BeforeValidator(_read_source)]


class Lineage(BaseModel):
    """What a model was made from; empty for an uploaded model."""

    job: str | None
    teacher: str | None
    dataset: str | None
    method: str | None


class ModelRead(BaseModel):
    """A registered model: an uploaded teacher, a fine-tuned one or a student."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    object: Literal["model"] = "model"
    created_at: datetime
    name: str
    origin: str = Field(description="Where the model came from: upload, hub or job.")
    architecture: FamilyName
    shape: AnyShape
    task: Task | None = Field(description="Null for an encoder without a task head.")
    labels: list[str] | None = Field(
        description="Labels of a text classifier or IOB2 tags of a token classifier; null for other tasks."
    )
    parameters: int
    size_bytes: int = Field(description="Total size of all files.")
    sha256: str = Field(description="Digest of the content of all files.")
    lineage: Lineage
    metrics: dict[str, Any]
    manifest: ModelManifest

    @classmethod
    def of(cls, model: Model) -> "ModelRead":
        manifest = model.manifest
        return cls(
            id=model.id,
            created_at=model.created_at,
            name=model.name,
            origin=model.origin,
            architecture=manifest.architecture.family,
            shape=manifest.architecture.shape,
            task=manifest.task,
            labels=manifest.labels,
            parameters=manifest.parameters,
            size_bytes=manifest.files.size_bytes,
            sha256=manifest.files.digest,
            lineage=Lineage(
                job=model.job_id, teacher=model.teacher_id, dataset=model.dataset_id, method=model.method
            ),
            metrics=model.metrics,
            manifest=manifest,
        )
