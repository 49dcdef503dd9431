"""``squeeze projects`` and ``squeeze keys``, on the database itself: whoever may write to it needs no key."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeAlias

from pydantic import BaseModel, TypeAdapter, ValidationError

from app.core.db import Actor, Database, ProjectDatabase, api_keys, projects
from app.core.ids import new_id
from app.core.settings import get_settings
from app.dependencies import Name
from app.domain.errors import NotFound, SqueezeError
from app.projects import service
from app.projects.limits import ProjectLimits
from app.projects.schemas import KeyRead, KeyWithSecret, ProjectRead

_MOST_ROWS = 10_000
_KEY_COLUMNS = ("id", "name", "scopes", "expires_at", "revoked_at", "last_used_at")

_NAME: TypeAdapter[str] = TypeAdapter(Name)

Command: TypeAlias = Callable[[Namespace], int]


def _on_database(command: Callable[[Namespace, Database], None]) -> Command:
    @wraps(command)
    def run(options: Namespace) -> int:
        database = Database(get_settings().resolved_database_url)
        try:
            command(options, database)
        except (SqueezeError, ValidationError) as error:
            message = error.message if isinstance(error, SqueezeError) else error.errors()[0]["msg"]
            print(f"squeeze: {message}", file=sys.stderr)
            return 1
        finally:
            database.dispose()
        return 0

    return run


@_on_database
def create_project(options: Namespace, database: Database) -> None:
    limits, name = _limits(options), _NAME.validate_python(options.name)
    with database.of(new_id("prj"), _actor("createProject")).transaction() as session:
        project = service.create_project(session, name=name, limits=limits)
    _print(options, [ProjectRead.of(project)], columns=("id", "name"))


@_on_database
def update_project(options: Namespace, database: Database) -> None:
    with _project(database, options.project, "updateProject").transaction() as session:
        project = service.change_limits(session, _limits(options))
    _print(options, [ProjectRead.of(project)], columns=("id", "name", "limits"))


@_on_database
def list_projects(options: Namespace, database: Database) -> None:
    with database.reading() as session:
        rows = projects.list_projects(session, limit=_MOST_ROWS)
    _print(options, [ProjectRead.of(row) for row in rows], columns=("id", "name", "created_at", "limits"))


@_on_database
def create_key(options: Namespace, database: Database) -> None:
    expires_at = datetime.now(UTC) + options.expires_in if options.expires_in else None
    with _project(database, options.project, "createKey").transaction() as session:
        key, token = service.create_key(
            session, name=_NAME.validate_python(options.name), scopes=options.scopes, expires_at=expires_at
        )
    _print_secret(options, KeyWithSecret.with_token(key, token))


@_on_database
def list_keys(options: Namespace, database: Database) -> None:
    with _project(database, options.project, "listKeys").reading() as session:
        rows = api_keys.list_keys(session, limit=_MOST_ROWS)
    _print(options, [KeyRead.of(row) for row in rows], columns=_KEY_COLUMNS)


@_on_database
def rotate_key(options: Namespace, database: Database) -> None:
    with _project_of_key(database, options.key, "rotateKey").transaction() as session:
        key, token = service.rotate_key(session, options.key, overlap=options.overlap)
    _print_secret(options, KeyWithSecret.with_token(key, token))


@_on_database
def revoke_key(options: Namespace, database: Database) -> None:
    with _project_of_key(database, options.key, "revokeKey").transaction() as session:
        key = service.revoke_key(session, options.key)
    _print(options, [KeyRead.of(key)], columns=_KEY_COLUMNS)


def _actor(action: str) -> Actor:
    return Actor("command line", action)


def _limits(options: Namespace) -> ProjectLimits:
    """Those that are given; -1 stands for none."""
    given = {name: getattr(options, name) for name in ProjectLimits.model_fields}
    return ProjectLimits(
        **{name: None if limit < 0 else limit for name, limit in given.items() if limit is not None}
    )


def _project(database: Database, name: str, action: str) -> ProjectDatabase:
    """What a project has, by its name or its id."""
    with database.reading() as session:
        project = projects.find_project_by_name(session, name) or projects.get_project(session, name)
    return database.of(project.id, _actor(action))


def _project_of_key(database: Database, key_id: str, action: str) -> ProjectDatabase:
    with database.reading() as session:
        keys, _ = api_keys.find_keys(session, [key_id])
    if not keys:
        raise NotFound("key", key_id)
    return database.of(keys[0].project_id, _actor(action))


def _print_secret(options: Namespace, key: KeyWithSecret) -> None:
    """The secret alone on standard output, where a script reads it."""
    if options.json:
        print(key.model_dump_json())
        return
    print(f"{key.id} {key.name!r}: {', '.join(key.scopes)}. It is shown this once:", file=sys.stderr)
    print(key.secret)


def _print(options: Namespace, rows: Sequence[BaseModel], *, columns: Sequence[str]) -> None:
    values: list[dict[str, Any]] = [row.model_dump(mode="json") for row in rows]
    if options.json:
        print(json.dumps(values))
        return
    table = [list(columns), *([_cell(row[column]) for column in columns] for row in values)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, dict):
        return ",".join(f"{name}={item}" for name, item in value.items() if item is not None) or "-"
    return "-" if value is None else str(value)
