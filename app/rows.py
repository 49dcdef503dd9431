"""Rows that may be unreadable: one is reported, does not hide the others, and can be deleted like them."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, Field, ValidationError

from app.core.db import WriteSession, after_commit
from app.core.db.datasets import Dataset
from app.core.db.models import Model
from app.core.storage import Storage
from app.domain.documents.manifest import stored_prefix
from app.domain.errors import Unreadable

logger = logging.getLogger(__name__)


class StoredRow(Protocol):
    """What every row has, whichever version of the service wrote it."""

    id: str
    created_at: datetime


T = TypeVar("T")
Row = TypeVar("Row", bound=StoredRow)


class RowError(BaseModel):
    """Why a row cannot be read."""

    code: str
    message: str

    @classmethod
    def of(cls, error: Unreadable) -> "RowError":
        return cls(code=error.code, message=error.message)


class UnreadableRow(BaseModel):
    """An entry of a list that a later version of the service wrote, or that is damaged."""

    id: str
    object: Literal["unreadable"] = "unreadable"
    created_at: datetime
    status: str | None = Field(description="Stored status of a job.")
    error: RowError


def read_row(read: Callable[[Row], T], row: Row) -> T:
    """The row as clients see it.

    Raises:
        Unreadable: it is of a later version, or damaged.
    """
    try:
        return read(row)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise Unreadable(row.id, f"The row of {row.id} cannot be read: {place}: {fault['msg']}.") from None


def read_listed_row(read: Callable[[Row], T], row: Row) -> T | UnreadableRow:
    """The row as clients see it among others."""
    try:
        return read_row(read, row)
    except Unreadable as error:
        return UnreadableRow(
            id=row.id,
            created_at=row.created_at,
            status=getattr(row, "status_text", None),
            error=RowError.of(error),
        )


def delete_with_files(session: WriteSession, storage: Storage, row: Model | Dataset) -> None:
    """Delete a row and, once that is certain, its files.

    Files stay where a damaged manifest does not say where they are.
    """
    prefix = stored_prefix(row.manifest_json)
    session.delete(row)
    if isinstance(row, Model) and row.is_unread:
        return
    if prefix is None:
        logger.warning("the manifest of %s does not name its files: they remain in the store", row.id)
    else:
        after_commit(session, lambda: storage.delete_prefix(prefix))
