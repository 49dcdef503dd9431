"""Pointing names at models."""

from typing import Final

from app.core.db import ProjectWriteSession
from app.core.db.endpoints import (
    Endpoint,
    count_endpoints,
    keep_earlier,
    lock_endpoint,
    lock_endpoint_if_any,
    set_target,
)
from app.core.db.models import get_model, lock_model
from app.core.db.projects import lock_project
from app.domain.documents.endpoint_target import EndpointTarget, ServedExport, Shadow
from app.domain.errors import Conflict, NotFound
from app.domain.tasks import Task
from app.inference.predictors.errors import InvalidArgument
from app.inference.servable import choose_precision, served_task

MOST_ENDPOINTS: Final = 100
"""Of a project: each has metrics of its own."""


def set_endpoint(session: ProjectWriteSession, name: str, target: EndpointTarget) -> tuple[Endpoint, bool]:
    """Let a name stand for a target; also tells whether the name is new.

    Raises:
        NotFound: there is no such model.
        Conflict: a model cannot be served, or does another task than the name has stood for; the project has
            as many endpoints as it may have.
        InvalidArgument: a model has no export of the precision.
    """
    tasks = {_lock_served(session, export) for export in target.exports}
    if target.shadow is not None:
        tasks.add(_lock_shadow(session, target.shadow))
    endpoint = lock_endpoint_if_any(session, name)
    if endpoint is None:
        lock_project(session)  # who creates the same name waits here, and finds it then
        endpoint = lock_endpoint_if_any(session, name)
    if endpoint is None:
        _require_one_task(tasks)
        _require_room(session)
        endpoint = Endpoint(name=name, earlier_json=[])
        set_target(session, endpoint, target)
        return endpoint, True
    before = endpoint.target
    if before != target:
        tasks.add(served_task(before.model, get_model(session, before.model).manifest))
        _require_one_task(tasks)
        keep_earlier(endpoint, before)
        set_target(session, endpoint, target)
    return endpoint, False


def roll_back(session: ProjectWriteSession, name: str) -> Endpoint:
    """Let a name stand again for what it stood for before.

    Raises:
        NotFound: there is no such endpoint.
        Conflict: there is nothing before, or its model was deleted.
    """
    endpoint = lock_endpoint(session, name)
    if not endpoint.earlier_json:
        raise Conflict(
            "nothing_to_roll_back_to",
            f"Endpoint {name!r} has stood for nothing else before. Point it at another model instead.",
            endpoint=name,
        )
    target = endpoint.earlier[-1]
    try:
        for export in target.exports:
            _lock_served(session, export)
        if target.shadow is not None:
            _lock_shadow(session, target.shadow)
    except NotFound as error:
        raise Conflict(
            "earlier_model_deleted",
            f"Model {error.details['id']} was deleted, for which endpoint {name!r} has stood before. Point "
            "the endpoint at another model instead.",
            endpoint=name,
            model=error.details["id"],
        ) from None
    endpoint.earlier_json = endpoint.earlier_json[:-1]
    set_target(session, endpoint, target)
    return endpoint


def _lock_served(session: ProjectWriteSession, export: ServedExport) -> Task:
    """Keep a model from being deleted, and tell what it answers."""
    row = lock_model(session, export.model, "share")
    manifest = row.manifest
    task = served_task(export.model, manifest)
    try:
        precision = choose_precision(export.model, manifest, export.precision)
    except InvalidArgument as error:
        error.pointer = "#/precision"
        raise
    if export.fallback is not None:
        _lock_served(session, ServedExport(export.fallback.model, export.fallback.precision))
        if row.teacher_id != export.fallback.model or manifest.exports[precision].cascade is None:
            raise Conflict(
                "cascade_not_measured",
                f"It is not known where model {export.model} in {precision} needs {export.fallback.model} as "
                "its fallback: that is measured by a job of text_classification that makes the one from the "
                "other, on a dev split with labels. Run such a job.",
                model=export.model,
                precision=precision,
                fallback=export.fallback.model,
            )
    return task


def _lock_shadow(session: ProjectWriteSession, shadow: Shadow) -> Task:
    try:
        return _lock_served(session, ServedExport(shadow.model, shadow.precision))
    except InvalidArgument as error:
        error.pointer = "#/shadow/precision"
        raise


def _require_room(session: ProjectWriteSession) -> None:
    if count_endpoints(session) >= MOST_ENDPOINTS:
        raise Conflict(
            "too_many_endpoints",
            f"A project has up to {MOST_ENDPOINTS} endpoints. Delete one that is not needed.",
            maximum=MOST_ENDPOINTS,
        )


def _require_one_task(tasks: set[Task]) -> None:
    if len(tasks) > 1:
        raise Conflict(
            "another_task",
            f"Models of one endpoint do the same task; these do {' and '.join(sorted(tasks))}. Clients would "
            "get answers of another form: use an endpoint of another name.",
            tasks=sorted(tasks),
        )
