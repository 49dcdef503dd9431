"""The registry of models: uploaded teachers, fine-tuned ones and students are rows of one table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core.db.base import Base, Lock, row_lock, utc_now
from app.core.errors import NotFound
from app.core.ids import is_id, new_id
from app.core.manifest import ModelManifest

Origin = Literal["upload", "hub", "job"]


class Model(Base):
    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("mdl"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    name: Mapped[str] = mapped_column(String(200))
    origin: Mapped[str] = mapped_column(String(16))
    manifest_json: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    job_id: Mapped[str | None] = mapped_column(String(30), index=True)
    teacher_id: Mapped[str | None] = mapped_column(String(30))
    dataset_id: Mapped[str | None] = mapped_column(String(30))
    method: Mapped[str | None] = mapped_column(String(64))

    @property
    def manifest(self) -> ModelManifest:
        return ModelManifest.model_validate(self.manifest_json)


def get_model(session: Session, model_id: str, *, lock: Lock | None = None) -> Model:
    """The model's row; ``lock`` "share" keeps it from being deleted, "update" is for who deletes it.

    Raises:
        NotFound: there is no such model.
    """
    model = session.get(Model, model_id, with_for_update=row_lock(lock)) if is_id("mdl", model_id) else None
    if model is None:
        raise NotFound("model", model_id)
    return model


def list_models(session: Session, *, limit: int, after: str | None = None) -> Sequence[Model]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(Model).order_by(Model.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Model.id < after)
    return session.scalars(query).all()
