"""Routes that need an API key. Each checks it before it reads the body of a request."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fastapi import params
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from app.auth.guard import Guard
from app.domain.scopes import Scope
from app.errors import problems
from app.problems import RenderProblem
from app.routing import PlainRoute

SECURITY_SCHEMES = {
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, as `Authorization: Bearer sqz_...`. Each operation names the scope that "
        "it needs: `read`, `predict`, `write` (which includes `read`) or `admin` (which includes all).",
    }
}
REFUSALS = (401, 403, 429)
JSON = "application/json"
_FORMS = ["multipart/form-data", "application/x-www-form-urlencoded"]


def requires(scope: Scope) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that needs this scope, in place of the one that its method needs."""
    return {"security": [{"apiKey": [scope]}]}


class ProtectedRoute(APIRoute):
    """A route of FastAPI that needs ``read`` to get and ``write`` to change, if it does not say otherwise."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        methods = options.get("methods") or ["GET"]
        by_method = requires("read" if set(methods) <= {"GET", "HEAD"} else "write")
        options["openapi_extra"] = by_method | (options.get("openapi_extra") or {})
        options["responses"] = problems(*REFUSALS) | (options.get("responses") or {})
        [self.scope] = options["openapi_extra"]["security"][0]["apiKey"]
        super().__init__(path, endpoint, **options)
        self.media_types = self._media_types()
        if self.media_types:
            self.responses = problems(415) | self.responses

    async def handle(self, scope: Connection, receive: Receive, send: Send) -> None:
        await _admit(self, scope)
        await super().handle(scope, receive, send)

    def _media_types(self) -> Sequence[str]:
        """Those that the description names, and of forms the other one, in which fields are missed alike."""
        if self.openapi_extra and (body := self.openapi_extra.get("requestBody")):
            return list(body["content"])
        if self.body_field is None:
            return []
        field = self.body_field.field_info
        return _FORMS if isinstance(field, params.Form) else [JSON]


class AdminRoute(ProtectedRoute):
    """A route that needs the scope ``admin``."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options["openapi_extra"] = requires("admin") | (options.get("openapi_extra") or {})
        super().__init__(path, endpoint, **options)


class PublicRoute(APIRoute):
    """A route that anyone may ask, and that shows nothing of any project."""


class PlainProtectedRoute(PlainRoute):
    """A plain route that needs a scope."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        *,
        methods: Sequence[str],
        scope: Scope,
        render_problem: RenderProblem,
        media_types: Sequence[str] = (JSON,),
        log_level: int = logging.INFO,
        **options: Any,
    ) -> None:
        super().__init__(
            path, endpoint, methods=methods, render_problem=render_problem, log_level=log_level, **options
        )
        self.scope = scope
        self.media_types = media_types

    async def handle(self, scope: Connection, receive: Receive, send: Send) -> None:
        await _admit(self, scope)
        await super().handle(scope, receive, send)


R = TypeVar("R", bound=BaseRoute)


def checked_routes(routes: Sequence[R]) -> Sequence[R]:
    """The routes, if each says who may use it: one that was forgotten would be open to all.

    Raises:
        TypeError: one does not.
    """
    for route in routes:
        if not isinstance(route, ProtectedRoute | PlainProtectedRoute | PublicRoute):
            raise TypeError(f"the route {route!r} is neither protected nor public")
    return routes


async def _admit(route: ProtectedRoute | PlainProtectedRoute, connection: Connection) -> None:
    assert route.methods is not None
    if connection["method"] in route.methods:  # others are refused by the route itself
        guard: Guard = connection["app"].state.guard
        await guard.admit(connection, route.scope, media_types=route.media_types)
