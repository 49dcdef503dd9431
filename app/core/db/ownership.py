"""Whose rows are whose. A project's session finds, changes and adds rows of that project alone.

This does not depend on how a query is written: each that such a session executes is narrowed to the
project's rows, those of joins and subqueries too.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, ForeignKey, Select, String
from sqlalchemy.orm import Mapped, ORMExecuteState, Session, mapped_column, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption
from sqlalchemy.sql.util import find_tables

from app.core.db.base import Base

DEFAULT_PROJECT: Final = f"prj_{'0' * 26}"
"""The project of whoever runs the installation: of rows from before there were projects, too."""

_PROJECT, _ACTOR = "project", "actor"
_PROJECTS_AT_ONCE = 1024


class Owned:
    """A table whose rows belong to projects, themselves or through another row."""

    @classmethod
    def is_of(cls, project_id: str) -> ColumnElement[bool]:
        """The condition under which a row is the project's."""
        raise NotImplementedError


class ProjectRow(Owned):
    """A table whose rows name their project. A project's session fills it in."""

    # The default is for an earlier version of the service, which may run on the same database meanwhile.
    project_id: Mapped[str] = mapped_column(
        String(30), ForeignKey("projects.id"), server_default=DEFAULT_PROJECT
    )

    @classmethod
    def is_of(cls, project_id: str) -> ColumnElement[bool]:
        return cls.project_id == project_id


class Actor(NamedTuple):
    """In whose name a session changes something."""

    name: str
    """The id of an API key, ``loopback`` or ``command line``."""
    action: str
    """The operation that was asked for, such as ``createJob``."""
    request_id: str | None = None


def bound_to(project_id: str, actor: Actor | None) -> dict[str, Any]:
    """The ``info`` of a session that is bound to a project."""
    return {_PROJECT: project_id, _ACTOR: actor}


def project_of(session: Session) -> str:
    """The id of the project that a session is bound to."""
    project_id: str = session.info[_PROJECT]
    return project_id


def actor_of(session: Session) -> Actor | None:
    """In whose name a session changes something; None for the service itself."""
    actor: Actor | None = session.info.get(_ACTOR)
    return actor


def narrow_to_project(state: ORMExecuteState) -> None:
    """Let a query of a bound session find the project's rows alone (``do_orm_execute``)."""
    if state.is_insert:
        raise TypeError("a project's session inserts objects that were added to it: use session.add()")
    if not state.is_orm_statement:
        if not isinstance(state.statement, Select) or find_tables(state.statement, check_columns=True):
            raise TypeError("a project's session executes queries on mapped classes, not on tables or text")
        return
    if not (state.is_column_load or state.is_relationship_load):  # of rows that were found before
        state.statement = state.statement.options(*_criteria(project_of(state.session)))


def require_owner(session: Session, *_: object) -> None:
    """Give new rows the project of a bound session, and refuse those of another (``before_flush``).

    In a session that is bound to none, a new row must name its project.
    """
    project_id: str | None = session.info.get(_PROJECT)
    for row in session.new:
        if isinstance(row, ProjectRow) and not row.project_id:
            if project_id is None:
                raise TypeError(f"a new {type(row).__name__} needs a project: use Database.of() or name it")
            row.project_id = project_id
    if project_id is None:
        return
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, ProjectRow) and row.project_id != project_id:
            raise TypeError(f"a session of {project_id} cannot write a row of {row.project_id}")


@lru_cache(_PROJECTS_AT_ONCE)
def _criteria(project_id: str) -> tuple[ExecutableOption, ...]:
    owned = (mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, Owned))
    return tuple(
        with_loader_criteria(table, table.is_of(project_id), include_aliases=True, propagate_to_loaders=False)
        for table in owned
    )
