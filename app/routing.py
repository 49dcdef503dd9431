"""Routes that are not FastAPI's own, for what must be fast."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from app.problems import RenderProblem, render_problem

_AS_THEY_ARE: Final[Mapping[int, int]] = {}


class PlainRoute(Route):
    """A route that says how its requests are logged and in which form its clients read problems.

    It names itself in the scope, as FastAPI's own routes do: error handlers, log and metrics find it there.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        *,
        methods: Sequence[str],
        render_problem: RenderProblem,
        log_level: int,
        statuses: Mapping[int, int] = _AS_THEY_ARE,
    ) -> None:
        super().__init__(path, endpoint, methods=methods)
        self.methods = set(methods)  # no HEAD, which Starlette adds to GET
        self.render_problem = render_problem
        self.statuses = statuses
        """Of problems, in place of this service's, where the clients' protocol has others."""
        self.log_level = log_level
        """Of requests that succeed."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "route": self}


def problem_renderer(scope: Scope) -> RenderProblem:
    """The form that the clients of a request read."""
    route = scope.get("route")
    return route.render_problem if isinstance(route, PlainRoute) else render_problem


def problem_status(scope: Scope, status: int) -> int:
    """The status of a problem in the protocol of a request's route."""
    route = scope.get("route")
    return route.statuses.get(status, status) if isinstance(route, PlainRoute) else status


def log_level(scope: Scope) -> int:
    """At which a request that succeeded is logged."""
    route = scope.get("route")
    return route.log_level if isinstance(route, PlainRoute) else logging.INFO
