"""What a model that is read in the background is read from."""

from typing import ClassVar

from pydantic import BaseModel

from app.domain.documents.manifest import HubSource
from app.domain.documents.versions import StoredDocument


class UploadSource(BaseModel):
    """An archive, in parts in the store."""

    id: str
    is_own: bool
    """Whether the service made the upload of a request's file: no client knows of it."""


class ModelSource(StoredDocument):
    """One of the two, and the names of the head's outputs, where they come with it."""

    document_name: ClassVar = "model source"

    upload: UploadSource | None = None
    hub: HubSource | None = None
    labels: list[str] | None = None
