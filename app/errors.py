"""From an error of the domain to an answer: one table."""

import errno
import json
import logging
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from app.core.db import DATABASE_UNAVAILABLE
from app.core.outages import Outages
from app.domain.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InProgress,
    InvalidRequest,
    NewerVersion,
    NotFound,
    NotReady,
    Overloaded,
    RateLimited,
    SqueezeError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unreadable,
)
from app.problems import Fault, ProblemDetails
from app.routing import problem_renderer, problem_status

logger = logging.getLogger(__name__)

CHECKSUM_MISMATCH: Final = 460
"""Of the tus protocol."""

STATUS: dict[type[SqueezeError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    Conflict: HTTPStatus.CONFLICT,
    InProgress: HTTPStatus.CONFLICT,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
    RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    Unreadable: HTTPStatus.INTERNAL_SERVER_ERROR,
    NewerVersion: HTTPStatus.INTERNAL_SERVER_ERROR,
    SqueezeError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_RETRY_AFTER_S: dict[int, int] = {
    HTTPStatus.TOO_MANY_REQUESTS: 1,
    HTTPStatus.SERVICE_UNAVAILABLE: 5,
    HTTPStatus.INSUFFICIENT_STORAGE: 60,
}

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
# As SQLite, PostgreSQL and object stores say it, whose errors carry no number.
_FULL_DISK_MESSAGES = ("database or disk is full", "no space left on device", "os error 28", "disk quota")
_FULL_STORE_MESSAGES = ("507 insufficient storage", "storagefull", "quotaexceeded")

_DESCRIPTIONS: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "The body cannot be read at all.",
    HTTPStatus.UNAUTHORIZED: "The request has no valid API key.",
    HTTPStatus.FORBIDDEN: "The API key may not do this: `detail` names what is missing.",
    HTTPStatus.NOT_FOUND: "There is no such thing, or the request names another that does not exist.",
    HTTPStatus.REQUEST_TIMEOUT: "The request's body came too slowly.",
    HTTPStatus.CONFLICT: "The request is sound, but the state of the thing forbids it.",
    HTTPStatus.PRECONDITION_FAILED: "The client speaks another version of the protocol.",
    CHECKSUM_MISMATCH: "The body has another checksum than the request says.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is larger than this server takes.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is of a media type that the route does not take.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The request is wrong in itself: `errors` names each fault.",
    HTTPStatus.TOO_MANY_REQUESTS: "A limit of the key or the project is reached, or the server is at "
    "capacity: see `Retry-After`.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The server failed, or a stored row cannot be read by this version.",
    HTTPStatus.INSUFFICIENT_STORAGE: "A disk is full, or the object store: see `Retry-After`.",
    HTTPStatus.SERVICE_UNAVAILABLE: "A service that this one depends on is unavailable: see `Retry-After`.",
    HTTPStatus.GATEWAY_TIMEOUT: "The request's timeout passed before it was answered.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route can answer with, for its description."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        int(status): {
            "description": _DESCRIPTIONS[status],
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }


def problem_response(
    request: Request,
    status: int,
    *,
    code: str,
    detail: str,
    faults: Sequence[Fault] = (),
    details: dict[str, Any] | None = None,
) -> Response:
    """A problem in the form that the clients of the request's route read."""
    request_id = request.scope.get("state", {}).get("request_id", "-")
    status = problem_status(request.scope, status)
    problem = ProblemDetails(
        status=int(status),
        code=code,
        detail=detail,
        instance=request.url.path,
        request_id=request_id,
        faults=faults,
        values=details or {},
    )
    body = problem_renderer(request.scope)(problem)
    headers = {"x-request-id": request_id}
    if status == HTTPStatus.CONFLICT:
        headers["x-should-retry"] = "false"  # some clients repeat every 409; ours are permanent
    if status in _RETRY_AFTER_S:
        headers["retry-after"] = str(_RETRY_AFTER_S[status])
    # As ASCII: what a message quotes from a client may hold what UTF-8 cannot, a lone surrogate.
    return Response(json.dumps(body), status, headers=headers, media_type="application/problem+json")


def add_error_handlers(app: FastAPI) -> None:
    """Let no error leave the app in another form."""
    app.add_exception_handler(SqueezeError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DBAPIError, _database_error)
    app.add_exception_handler(PoolTimeout, _database_error)
    app.add_exception_handler(StoreError, _store_error)
    app.add_exception_handler(OSError, _system_error)
    app.add_exception_handler(Exception, _unexpected_error)


def status_of(error: type[SqueezeError]) -> HTTPStatus:
    """The status of the nearest family in the table."""
    return next(STATUS[family] for family in error.__mro__ if family in STATUS)


async def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SqueezeError)
    status = status_of(type(error))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:  # what is away is not found in our code
        if not isinstance(error, NotReady):
            _outages(request).log(error.code, f"{error.code}: {error.message}")
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, DeadlineExceeded):
        logger.error("%s: %s", error.code, error.message, exc_info=error)
    faults = [Fault(detail=error.message, pointer=error.pointer)] if error.pointer else []
    response = problem_response(
        request, status, code=error.code, detail=error.message, faults=faults, details=error.details
    )
    if status == HTTPStatus.UNAUTHORIZED or "scope" in error.details:
        response.headers["www-authenticate"] = _challenge(error)
    if isinstance(error, RateLimited):
        response.headers["retry-after"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, InProgress):
        response.headers.update({"retry-after": "1", "x-should-retry": "true"})
    return response


def _challenge(error: SqueezeError) -> str:
    """Which key would do (RFC 6750)."""
    parts = ['Bearer realm="squeeze"']
    if isinstance(error, Forbidden):
        parts += ['error="insufficient_scope"', f'scope="{error.details["scope"]}"']
    elif error.code != "api_key_required":
        parts.append('error="invalid_token"')
    return ", ".join(parts)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [_fault(item) for item in error.errors()]
    more = f" ({len(faults) - 1} more in 'errors')" if len(faults) > 1 else ""
    return problem_response(
        request,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        code="invalid_request",
        detail=f"{faults[0].detail}{more}",
        faults=faults,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    is_ours = error.status_code == CHECKSUM_MISMATCH
    phrase = "checksum mismatch" if is_ours else HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    response = problem_response(request, error.status_code, code=code, detail=error.detail)
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _described_methods(request)):
        response.headers["allow"] = ", ".join(methods)
    return response


def _described_methods(request: Request) -> list[str]:
    """Of all routes at the request's path, which each know their own alone."""
    return sorted(
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if compile_path(path)[0].fullmatch(request.scope["path"])
        for method in operations
    )


async def _database_error(request: Request, error: Exception) -> Response:
    """A database that is away, or that did not answer in time; what it refuses is a fault of ours."""
    if _is_full(error):
        return _full(request, "database", error)
    is_away = isinstance(error, DATABASE_UNAVAILABLE)
    if not (is_away or (isinstance(error, DBAPIError) and error.connection_invalidated)):
        return await _unexpected_error(request, error)
    _outages(request).report("database", error)
    return problem_response(
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        code="database_unavailable",
        detail="The database did not respond in time. Retry in a few seconds.",
    )


async def _store_error(request: Request, error: Exception) -> Response:
    if _is_full(error):
        return _full(request, "store", error)
    _outages(request).report("store", error)
    return problem_response(
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        code="storage_unavailable",
        detail="The object store did not respond, or refused the request. Retry in a few seconds.",
    )


async def _system_error(request: Request, error: Exception) -> Response:
    if _is_full(error):
        return _full(request, "disk", error)
    return await _unexpected_error(request, error)


def _outages(request: Request) -> Outages:
    found: Outages = request.app.state.outages
    return found


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL_DISK:
        return True
    message = str(error).lower()
    return any(full in message for full in _FULL_DISK_MESSAGES + _FULL_STORE_MESSAGES)


def _full(request: Request, place: str, error: Exception) -> Response:
    _outages(request).report(place, error, state="full")
    return problem_response(
        request,
        HTTPStatus.INSUFFICIENT_STORAGE,
        code="insufficient_storage",
        detail=f"The {place} of the service is full. Its operator has to make room.",
    )


async def _unexpected_error(request: Request, error: Exception) -> Response:
    logger.error("unexpected error", exc_info=error)
    return problem_response(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        code="internal_error",
        detail="Internal error. The server log has the details under this request_id.",
    )


def _fault(item: dict[str, Any]) -> Fault:
    """Pydantic's error, with the place as the client wrote it: a union's tag is no part of the body."""
    where, *path = (str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    if where != "body":
        return Fault(detail=f"{where} {'.'.join(path)}: {message}")
    if item["type"] == "json_invalid" and not any(map(str.isidentifier, path)):
        place = f" at character {path[0]}" if path else ""
        return Fault(detail=f"The body is not valid JSON: {item['ctx']['error']}{place}.")
    named = ""
    if path[:1] == ["method"] and len(path) > 2:
        named = f"method {path.pop(1)}: "
    if path[:2] == ["target", "shape"] and len(path) > 2:
        path.pop(2)
    place = f"{'.'.join(path[1:] if named else path)}: " if path else ""
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return Fault(detail=f"{named}{place}{message}", pointer="#/" + "/".join(escaped))
