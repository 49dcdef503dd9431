"""Endpoints: names that stand for a model, and for another one after a while."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, func, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime, JsonColumn
from app.core.db.ownership import ProjectRow
from app.core.db.session import ProjectReadSession, ProjectWriteSession
from app.core.ids import new_id
from app.domain.documents.endpoint_target import EndpointTarget
from app.domain.errors import NotFound

NAME_PATTERN = r"^[a-z0-9][a-z0-9.-]{0,62}$"
"""Of an endpoint. Ids of models have an underscore, so that no name is taken for an id."""

_KEPT = 20
"""Earlier targets to which an endpoint can be rolled back, one after the other."""

_is_name = re.compile(NAME_PATTERN).fullmatch


class Endpoint(ProjectRow, Base):
    __tablename__ = "endpoints"
    __table_args__ = (Index("uq_endpoints_project_id_name", "project_id", "name", unique=True),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True, default=lambda: new_id("end"))
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    updated_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    name: Mapped[str] = mapped_column(String(63))
    target_json: Mapped[dict[str, Any]]
    earlier_json: Mapped[list[dict[str, Any]]] = mapped_column(JsonColumn, default=list)
    """Targets before, the last one last."""

    @property
    def target(self) -> EndpointTarget:
        """Raises ``Unreadable``."""
        return EndpointTarget.from_stored(self.target_json, owner=self.id)

    @property
    def earlier(self) -> list[EndpointTarget]:
        """Raises ``Unreadable``."""
        return [EndpointTarget.from_stored(stored, owner=self.id) for stored in self.earlier_json]


class EndpointModel(ProjectRow, Base):
    """A model that an endpoint needs. The target names it too; this is where endpoints are found by it."""

    __tablename__ = "endpoint_models"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("endpoints.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[str] = mapped_column(String(30), primary_key=True, index=True)


def is_endpoint_name(text: str) -> bool:
    """Whether a text from outside can be an endpoint's name at all."""
    return _is_name(text) is not None


def get_endpoint(session: ProjectReadSession, name: str) -> Endpoint:
    """The endpoint's row.

    Raises:
        NotFound: there is no such endpoint.
    """
    return _found(find_endpoint(session, name), name)


def find_endpoint(session: ProjectReadSession, name: str) -> Endpoint | None:
    """The endpoint's row, if there is one of this name."""
    return session.scalar(select(Endpoint).where(Endpoint.name == name))


def lock_endpoint(session: ProjectWriteSession, name: str) -> Endpoint:
    """The endpoint's row, held until the transaction ends.

    Raises:
        NotFound: there is no such endpoint.
    """
    return _found(lock_endpoint_if_any(session, name), name)


def lock_endpoint_if_any(session: ProjectWriteSession, name: str) -> Endpoint | None:
    """The endpoint's row, held until the transaction ends, if there is one of this name."""
    query = select(Endpoint).where(Endpoint.name == name)
    return session.scalar(query.with_for_update())


def list_endpoints(
    session: ProjectReadSession, *, limit: int, after: str | None = None
) -> Sequence[Endpoint]:
    """Newest first; ``after`` is the last id of the page before."""
    query = select(Endpoint).order_by(Endpoint.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Endpoint.id < after)
    return session.scalars(query).all()


def count_endpoints(session: ProjectReadSession) -> int:
    return session.scalar(select(func.count(Endpoint.id))) or 0


def set_target(session: ProjectWriteSession, endpoint: Endpoint, target: EndpointTarget) -> None:
    """Let an endpoint, new or not, stand for this target from now on."""
    endpoint.target_json = target.to_stored()
    endpoint.updated_at = DatabaseTime()
    session.add(endpoint)
    session.flush()  # gives the id
    for row in session.scalars(select(EndpointModel).where(EndpointModel.endpoint_id == endpoint.id)):
        session.delete(row)
    session.flush()
    for model_id in target.models:
        session.add(EndpointModel(endpoint_id=endpoint.id, model_id=model_id))


def keep_earlier(endpoint: Endpoint, target: EndpointTarget) -> None:
    """Keep a target that an endpoint no longer stands for."""
    endpoint.earlier_json = [*endpoint.earlier_json, target.to_stored()][-_KEPT:]


def endpoint_of_model(session: ProjectReadSession, model_id: str) -> Endpoint | None:
    """An endpoint that needs the model, if there is one."""
    query = select(Endpoint).join(EndpointModel, EndpointModel.endpoint_id == Endpoint.id)
    return session.scalar(query.where(EndpointModel.model_id == model_id).limit(1))


def _found(row: Endpoint | None, name: str) -> Endpoint:
    if row is None:
        raise NotFound("endpoint", name)
    return row
