"""What models take and give, which there are, and which are in memory."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app.auth.principal import Principal
from app.auth.routes import PlainProtectedRoute
from app.inference.protocols.asking import read_body, runtime_of
from app.inference.protocols.bodies import body_of
from app.inference.protocols.documents import joined, operation_document
from app.inference.protocols.kserve.rendering import (
    ERRORS,
    asked_name,
    json_answer,
    kserve_route,
    named_model,
)
from app.inference.protocols.kserve.schemas import (
    VERSION,
    Done,
    IndexedModel,
    IndexRequest,
    LoadRequest,
    ModelMetadata,
    ModelReady,
    UnloadRequest,
)
from app.inference.protocols.kserve.signatures import gives, takes

_EMPTY: Final = b"{}"


async def get_metadata(request: Request) -> Response:
    """Get what a model takes and gives.

    Texts and their kinds are tensors of BYTES; `parameters` name the task, and the labels in the order of
    `probabilities`.
    """
    model = await named_model(request)
    metadata: ModelMetadata = {
        "name": asked_name(request),
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": takes(model),
        "outputs": [output.metadata(model) for output in gives(model)],
        "parameters": {
            "model": model.key.name,
            "task": model.task,
            "precisions": sorted(model.manifest.exports),
        },
    }
    if model.manifest.labels:
        metadata["parameters"]["labels"] = model.manifest.labels
    return json_answer(metadata)


async def get_ready(request: Request) -> Response:
    """Get whether a model answers.

    Every model with an export does: one that is not in memory is loaded when it is asked.
    """
    await named_model(request)
    ready: ModelReady = {"name": asked_name(request), "ready": True}
    return json_answer(ready)


async def list_repository(request: Request) -> Response:
    """List the models of the project, and why some of them do not answer."""
    asked = read_body(await body_of(request) or _EMPTY, IndexRequest)
    principal: Principal = request.state.principal
    models = await runtime_of(request).models(principal.project_id)
    listed: list[IndexedModel] = [
        {
            "name": model.model_id,
            "version": VERSION,
            "state": "UNAVAILABLE" if model.why_not else "READY",
            "reason": model.why_not,
        }
        for model in models
        if not (asked.ready and model.why_not)
    ]
    return json_answer(listed)


async def load(request: Request) -> Response:
    """Load a model into memory, so that its first prediction need not wait for that."""
    asked = read_body(await body_of(request) or _EMPTY, LoadRequest)
    model = await named_model(request)
    await runtime_of(request).load(model, precision=asked.parameters.precision)
    return json_answer({})


async def unload(request: Request) -> Response:
    """Take a model out of memory.

    Predictions that were admitted are answered. The model stays ready: the next prediction loads it.
    """
    read_body(await body_of(request) or _EMPTY, UnloadRequest)
    runtime_of(request).unload(await named_model(request))
    return json_answer({})


class _Operation(NamedTuple):
    """One route."""

    path: str
    endpoint: Callable[[Request], Awaitable[Response]]
    name: str
    answer: Any
    told: str
    """Of the answer."""
    body: type | None = None
    """Of a POST, which may do without."""
    aliases: Mapping[str, str] = {}
    """Other paths, with the names of their operations."""

    @property
    def method(self) -> str:
        return "get" if self.body is None else "post"


_MODEL: Final = "/v2/models/{model_id}"
_VERSION: Final = f"{_MODEL}/versions/{{version}}"
_REPOSITORY: Final = "/v2/repository"
_ONE: Final = f"{_REPOSITORY}/models/{{model_id}}"
_OPERATIONS: Final = (
    _Operation(
        _MODEL,
        get_metadata,
        "getModelMetadata",
        ModelMetadata,
        "Its tensors.",
        aliases={_VERSION: "getVersionMetadata"},
    ),
    _Operation(
        f"{_MODEL}/ready",
        get_ready,
        "getModelReady",
        ModelReady,
        "It answers.",
        aliases={f"{_VERSION}/ready": "getVersionReady"},
    ),
    _Operation(
        f"{_REPOSITORY}/index",
        list_repository,
        "listRepository",
        list[IndexedModel],
        "The models, newest first.",
        IndexRequest,
    ),
    _Operation(f"{_ONE}/load", load, "loadModel", Done, "It is in memory.", LoadRequest),
    _Operation(f"{_ONE}/unload", unload, "unloadModel", Done, "It leaves the memory.", UnloadRequest),
)


def model_routes() -> list[PlainProtectedRoute]:
    return [
        kserve_route(path, operation.endpoint, method=operation.method.upper())
        for operation in _OPERATIONS
        for path in (operation.path, *operation.aliases)
    ]


def model_documents() -> dict[str, Any]:
    return joined(
        [
            operation_document(
                operation.path,
                operation.endpoint,
                operation_id=operation.name,
                answer=operation.answer,
                answer_description=operation.told,
                method=operation.method,
                body=operation.body,
                needs_body=False,
                aliases=operation.aliases,
                errors=ERRORS,
                is_prediction=False,
            )
            for operation in _OPERATIONS
        ]
    )
