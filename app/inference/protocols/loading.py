"""``POST /v1/models/{model_id}/load`` and ``/unload``: which models are in memory before they are asked."""

import logging
from typing import Any, Final, Literal

from pydantic import Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.auth.routes import JSON, PlainProtectedRoute
from app.domain.exact_types import ExactModel
from app.inference.predictors.errors import InvalidArgument
from app.inference.protocols.asking import find_model, read_body, runtime_of
from app.inference.protocols.bodies import body_of
from app.inference.protocols.documents import joined, operation_document
from app.problems import render_problem

_LOAD: Final = "/v1/models/{model_id}/load"
_UNLOAD: Final = "/v1/models/{model_id}/unload"
_EMPTY: Final = b"{}"


class LoadModelRequest(ExactModel):
    """A model is to be in memory."""

    precision: str | None = Field(default=None, description="As in predictions.")
    pinned: bool = Field(
        default=False, description="Whether it stays there whatever else is asked, until it is unloaded."
    )


class UnloadModelRequest(ExactModel):
    """A model is to leave the memory."""


class ModelInMemory(TypedDict):
    """Whether a model is in memory."""

    object: Literal["model.memory"]
    model: str
    loaded: bool
    pinned: bool


async def preload_model(request: Request) -> Response:
    """Load a model into memory, so that its first prediction need not wait for that.

    It is loaded in the process that answers; each process has its own memory.
    """
    asked = read_body(await body_of(request) or _EMPTY, LoadModelRequest)
    model = await find_model(request, request.path_params["model_id"])
    try:
        await runtime_of(request).load(model, precision=asked.precision, is_pinned=asked.pinned)
    except InvalidArgument as error:
        error.pointer = "#/precision"
        raise
    return _answer(model.key.name, is_loaded=True, is_pinned=asked.pinned)


async def evict_model(request: Request) -> Response:
    """Take a model out of memory, pinned or not.

    Predictions that were admitted are answered; the next one loads it again.
    """
    read_body(await body_of(request) or _EMPTY, UnloadModelRequest)
    model = await find_model(request, request.path_params["model_id"])
    runtime_of(request).unload(model)
    return _answer(model.key.name, is_loaded=False, is_pinned=False)


def loading_routes() -> list[PlainProtectedRoute]:
    return [
        PlainProtectedRoute(
            path,
            endpoint,
            methods=["POST"],
            scope="write",
            render_problem=render_problem,
            log_level=logging.INFO,
        )
        for path, endpoint in ((_LOAD, preload_model), (_UNLOAD, evict_model))
    ]


def loading_documents() -> dict[str, Any]:
    return joined(
        [
            operation_document(
                path,
                endpoint,
                operation_id=name,
                body=body,
                needs_body=False,
                answer=ModelInMemory,
                answer_description=told,
                scope="write",
                is_prediction=False,
            )
            for path, endpoint, name, body, told in (
                (_LOAD, preload_model, "preloadModel", LoadModelRequest, "It is in memory."),
                (_UNLOAD, evict_model, "evictModel", UnloadModelRequest, "It leaves the memory."),
            )
        ]
    )


def _answer(model: str, *, is_loaded: bool, is_pinned: bool) -> Response:
    answer: ModelInMemory = {
        "object": "model.memory",
        "model": model,
        "loaded": is_loaded,
        "pinned": is_pinned,
    }
    return Response(to_json(answer), media_type=JSON)
