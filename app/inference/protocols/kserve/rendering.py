"""Problems as clients of the protocol read them, and what all its routes of models share."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from app.auth.routes import JSON, REFUSALS, PlainProtectedRoute
from app.domain.errors import NotFound
from app.inference.protocols.asking import find_model
from app.inference.protocols.kserve.schemas import VERSION
from app.inference.runtime import ServableModel
from app.problems import ProblemDetails

BINARY: Final = "application/octet-stream"
_ANY: Final = (JSON, BINARY, "")
"""Media types: Triton's client names none."""

STATUSES: Final = {HTTPStatus.UNPROCESSABLE_ENTITY: HTTPStatus.BAD_REQUEST}
"""The protocol has one for all that is wrong with a request."""
ERRORS: Final = (400, *REFUSALS, 404, 408, 409, 413, 415, 500, 503, 507)


def render_problem(problem: ProblemDetails) -> dict[str, Any]:
    """RFC 9457, with the detail as ``error``, a string, which is all that the protocol knows."""
    return {**problem.members(), "error": problem.detail}


def kserve_route(
    path: str, endpoint: Callable[[Request], Awaitable[Response]], *, method: str = "POST"
) -> PlainProtectedRoute:
    """A route of models, for whoever may predict."""
    return PlainProtectedRoute(
        path,
        endpoint,
        methods=[method],
        scope="predict",
        render_problem=render_problem,
        statuses=STATUSES,
        media_types=_ANY if method == "POST" else (),
        log_level=logging.DEBUG,
    )


def asked_name(request: Request) -> str:
    """What a path names: the id of a model, or an endpoint."""
    name: str = request.path_params["model_id"]
    return name


async def named_model(request: Request) -> ServableModel:
    """The model of that name; errors as ``find_model``."""
    name = asked_name(request)
    if (version := request.path_params.get("version", VERSION)) != VERSION:
        raise NotFound("model version", f"{name}/{version[:20]}")
    return await find_model(request, name)


def json_answer(answer: Any) -> Response:
    return Response(to_json(answer), media_type=JSON)
