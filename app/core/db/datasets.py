"""Data sets: the table and its queries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core.db.base import Base, Lock, row_lock, utc_now
from app.core.errors import NotFound
from app.core.ids import is_id, new_id
from app.core.manifest import DatasetManifest


class Dataset(Base):
    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("dst"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    name: Mapped[str] = mapped_column(String(200))
    manifest_json: Mapped[dict[str, Any]]

    @property
    def manifest(self) -> DatasetManifest:
        return DatasetManifest.model_validate(self.manifest_json)


def get_dataset(session: Session, dataset_id: str, *, lock: Lock | None = None) -> Dataset:
    """The data set's row, locked as ``get_model`` does.

    Raises:
        NotFound: there is no such data set.
    """
    known = is_id("dst", dataset_id)
    dataset = session.get(Dataset, dataset_id, with_for_update=row_lock(lock)) if known else None
    if dataset is None:
        raise NotFound("dataset", dataset_id)
    return dataset


def list_datasets(session: Session, *, limit: int, after: str | None = None) -> Sequence[Dataset]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(Dataset).order_by(Dataset.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Dataset.id < after)
    return session.scalars(query).all()
