"""Data sets: the table and its queries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, String, select
from sqlalchemy.orm import Mapped, mapped_column, validates

from app.core.db.base import Base, DatabaseTime, Lock, row_lock
from app.core.db.ownership import ProjectRow
from app.core.db.session import ProjectReadSession, ProjectWriteSession
from app.core.ids import is_id, new_id
from app.domain.documents.manifest import DatasetManifest, stored_size
from app.domain.errors import NotFound


class Dataset(ProjectRow, Base):
    __tablename__ = "datasets"
    __table_args__ = (Index("ix_datasets_project_id", "project_id", "id"),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("dst"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    name: Mapped[str] = mapped_column(String(200))
    manifest_json: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Of its files, as the manifest has them: what the project stores is the sum."""

    @validates("manifest_json")
    def _measure(self, _: str, manifest: dict[str, Any]) -> dict[str, Any]:
        self.size_bytes = stored_size(manifest)
        return manifest

    @property
    def manifest(self) -> DatasetManifest:
        """Raises ``Unreadable``."""
        return DatasetManifest.from_stored(self.manifest_json, owner=self.id)


def get_dataset(session: ProjectReadSession, dataset_id: str) -> Dataset:
    """The data set's row.

    Raises:
        NotFound: there is no such data set.
    """
    return _found(session.get(Dataset, dataset_id) if is_id("dst", dataset_id) else None, dataset_id)


def lock_dataset(session: ProjectWriteSession, dataset_id: str, lock: Lock) -> Dataset:
    """The data set's row, held until the transaction ends.

    The lock "share" keeps the row from being deleted; "update" is for those who change or delete it.

    Raises:
        NotFound: there is no such data set.
    """
    row = (
        session.get(Dataset, dataset_id, with_for_update=row_lock(lock)) if is_id("dst", dataset_id) else None
    )
    return _found(row, dataset_id)


def list_datasets(session: ProjectReadSession, *, limit: int, after: str | None = None) -> Sequence[Dataset]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(Dataset).order_by(Dataset.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Dataset.id < after)
    return session.scalars(query).all()


def _found(row: Dataset | None, dataset_id: str) -> Dataset:
    if row is None:
        raise NotFound("dataset", dataset_id)
    return row
