"""What the server is and whether it works, for anyone; and calls of the protocol that it does not know."""

import logging
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from app.auth.routes import PublicRoute
from app.errors import problems
from app.inference.protocols.kserve.rendering import render_problem
from app.inference.protocols.kserve.schemas import ServerLive, ServerMetadata, ServerReady
from app.readiness import Readiness
from app.routing import PlainRoute

router = APIRouter(prefix="/v2", tags=["health"], route_class=PublicRoute)

_EXTENSIONS: Final = ["binary_tensor_data", "classification", "model_repository"]


@router.get("")
async def get_server_metadata(request: Request) -> ServerMetadata:
    """Get the server's name and the extensions of the Open Inference Protocol that it has."""
    return {"name": request.app.title.lower(), "version": request.app.version, "extensions": _EXTENSIONS}


@router.get("/health/live")
async def get_server_live() -> ServerLive:
    """Liveness, as `GET /healthz`."""
    return {"live": True}


@router.get("/health/ready", responses=problems(503))
async def get_server_ready(request: Request) -> ServerReady:
    """Readiness for predictions, as `GET /readyz?exclude=broker`."""
    readiness: Readiness = request.app.state.readiness
    await readiness.require(without=["broker"])
    return {"ready": True}


async def _answer_nothing(_request: Request) -> Response:
    raise HTTPException(404)


_UNKNOWN: Final = PlainRoute(
    "/v2/{call:path}",
    _answer_nothing,
    methods=[],
    render_problem=render_problem,
    log_level=logging.INFO,
)
"""What calls that no route takes are logged as, and whose form their answers have."""


def answer_unknown_calls(app_router: Router) -> None:
    """Let the protocol's clients read what is wrong when they call what is not here."""
    answer_not_found = app_router.default

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(f"{router.prefix}/"):
            scope["route"] = _UNKNOWN
        await answer_not_found(scope, receive, send)

    app_router.default = answer
