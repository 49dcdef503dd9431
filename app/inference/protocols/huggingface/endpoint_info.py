"""What clients of Hugging Face ask of an endpoint beside predictions: whether it answers, and what it is."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.auth.routes import JSON, PlainProtectedRoute
from app.inference.protocols.asking import find_model
from app.inference.protocols.documents import joined, operation_document
from app.inference.protocols.huggingface.rendering import render_problem

_HEALTH: Final = "/v1/models/{model_id}/health"
_INFO: Final = "/v1/models/{model_id}/info"
_OTHER_HEALTH: Final = "/models/{model_id}/health"
_OTHER_INFO: Final = "/models/{model_id}/info"


class EndpointHealth(TypedDict):
    """That a model answers."""

    status: Literal["ok"]


class EndpointInfo(TypedDict):
    """What a model is."""

    model_id: str
    task: str
    precisions: list[str]
    labels: list[str] | None
    max_input_length: int


async def get_health(request: Request) -> Response:
    """Get whether a model answers, as `InferenceClient.health_check` asks."""
    await find_model(request, request.path_params["model_id"])
    health: EndpointHealth = {"status": "ok"}
    return Response(to_json(health), media_type=JSON)


async def get_info(request: Request) -> Response:
    """Get what a model is, as `InferenceClient.get_endpoint_info` asks."""
    model = await find_model(request, request.path_params["model_id"])
    info: EndpointInfo = {
        "model_id": model.key.name,
        "task": model.task,
        "precisions": sorted(model.manifest.exports),
        "labels": model.manifest.labels,
        "max_input_length": model.manifest.max_length,
    }
    return Response(to_json(info), media_type=JSON)


def endpoint_info_routes() -> list[PlainProtectedRoute]:
    asked: dict[str, Callable[[Request], Awaitable[Response]]] = {
        _HEALTH: get_health,
        _OTHER_HEALTH: get_health,
        _INFO: get_info,
        _OTHER_INFO: get_info,
    }
    return [
        PlainProtectedRoute(
            path,
            endpoint,
            methods=["GET"],
            scope="predict",
            render_problem=render_problem,
            media_types=(),
            log_level=logging.DEBUG,
        )
        for path, endpoint in asked.items()
    ]


def endpoint_info_documents() -> dict[str, Any]:
    return joined(
        [
            operation_document(
                _HEALTH,
                get_health,
                operation_id="getEndpointHealth",
                answer=EndpointHealth,
                answer_description="It answers.",
                method="get",
                is_prediction=False,
                aliases={_OTHER_HEALTH: "getOtherEndpointHealth"},
            ),
            operation_document(
                _INFO,
                get_info,
                operation_id="getEndpointInfo",
                answer=EndpointInfo,
                answer_description="What it is.",
                method="get",
                is_prediction=False,
                aliases={_OTHER_INFO: "getOtherEndpointInfo"},
            ),
        ]
    )
