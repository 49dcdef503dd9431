"""The registry of models: uploaded teachers, fine-tuned ones and students are rows of one table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import BigInteger, Index, String, select
from sqlalchemy.orm import Mapped, mapped_column, validates

from app.core.db.base import Base, DatabaseTime, JsonColumn, Lock, database_time, row_lock
from app.core.db.intake import Intake, IntakeStatus
from app.core.db.session import ProjectReadSession, ProjectWriteSession
from app.core.db.webhooks import enqueue_event
from app.core.ids import is_id, new_id
from app.domain.documents.manifest import ModelManifest, stored_size
from app.domain.errors import Conflict, NotFound
from app.domain.webhook_events import WebhookEvent

Origin = Literal["upload", "hub", "job"]
UNREAD: Final[Sequence[IntakeStatus]] = ("processing", "failed")


class Model(Intake, Base):
    __tablename__ = "models"
    __table_args__ = (Index("ix_models_project_id", "project_id", "id"),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("mdl"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    name: Mapped[str] = mapped_column(String(200))
    origin: Mapped[str] = mapped_column(String(16))
    manifest_json: Mapped[dict[str, Any] | None] = mapped_column(JsonColumn)
    """None where it is not ready."""
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Of its files, as the manifest has them: what the project stores is the sum. Until a model of the hub is
    read, what is to be downloaded."""
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    job_id: Mapped[str | None] = mapped_column(String(30), index=True)
    teacher_id: Mapped[str | None] = mapped_column(String(30))
    dataset_id: Mapped[str | None] = mapped_column(String(30))
    method: Mapped[str | None] = mapped_column(String(64))

    @validates("manifest_json")
    def _measure(self, _: str, manifest: dict[str, Any] | None) -> dict[str, Any] | None:
        if manifest is not None:
            self.size_bytes = stored_size(manifest)
        return manifest

    @property
    def is_unread(self) -> bool:
        """Whether it has no manifest and no files, yet or for good."""
        return self.status in UNREAD

    @property
    def manifest(self) -> ModelManifest:
        """What it is.

        Raises:
            Conflict: it is not read yet, or could not be.
            Unreadable: a later version of the service wrote it, or it is damaged.
        """
        if self.status == "processing":
            raise Conflict(
                "model_not_ready",
                f"Model {self.id} is still being read. Wait until its status is 'ready'.",
                id=self.id,
                status=self.status,
            )
        if self.status == "failed":
            reason = (self.error or {}).get("message", "")
            raise Conflict(
                "model_failed",
                f"Model {self.id} could not be read: {reason} Register it again.",
                id=self.id,
                status=self.status,
                reason=reason,
            )
        return ModelManifest.from_stored(self.manifest_json, owner=self.id)


def get_model(session: ProjectReadSession, model_id: str) -> Model:
    """The model's row.

    Raises:
        NotFound: there is no such model.
    """
    return _found(session.get(Model, model_id) if is_id("mdl", model_id) else None, model_id)


def lock_model(session: ProjectWriteSession, model_id: str, lock: Lock) -> Model:
    """The model's row, held until the transaction ends.

    The lock "share" keeps the row from being deleted; "update" is for those who change or delete it.

    Raises:
        NotFound: there is no such model.
    """
    row = session.get(Model, model_id, with_for_update=row_lock(lock)) if is_id("mdl", model_id) else None
    return _found(row, model_id)


def list_models(session: ProjectReadSession, *, limit: int, after: str | None = None) -> Sequence[Model]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(Model).order_by(Model.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Model.id < after)
    return session.scalars(query).all()


def add_model(session: ProjectWriteSession, model: Model) -> None:
    """Add a model that is ready to the session's project."""
    session.add(model)
    session.flush()
    _tell(session, model, "model.created")
    _tell(session, model, "model.ready")


def add_unread_model(session: ProjectWriteSession, model: Model) -> None:
    """Add a model whose source is read in the background, from now on."""
    model.status = "processing"
    model.due_at = database_time(session)
    session.add(model)
    session.flush()
    _tell(session, model, "model.created")


def become_ready(session: ProjectWriteSession, model: Model, manifest: ModelManifest) -> None:
    """Let a model that was processing be what was read."""
    model.status, model.manifest_json = "ready", manifest.to_stored()
    model.source = model.progress = model.error = model.due_at = None
    _tell(session, model, "model.ready")


def become_failed(session: ProjectWriteSession, model: Model, *, code: str, message: str) -> None:
    """Let a model that was processing be one that could not be read."""
    model.status, model.error, model.size_bytes = "failed", {"code": code, "message": message}, 0
    model.source = model.progress = model.due_at = None
    _tell(session, model, "model.failed")


def _tell(session: ProjectWriteSession, model: Model, event: WebhookEvent) -> None:
    told = {
        "id": model.id,
        "object": "model",
        "name": model.name,
        "origin": model.origin,
        "job": model.job_id,
        "status": model.status,
        "error": model.error,
    }
    enqueue_event(session, model.project_id, event, told)


def enqueue_deletion(session: ProjectWriteSession, model: Model) -> None:
    """Have the project's webhooks told that a model is deleted."""
    enqueue_event(session, model.project_id, "model.deleted", {"id": model.id, "object": "model"})


def _found(row: Model | None, model_id: str) -> Model:
    if row is None:
        raise NotFound("model", model_id)
    return row
