"""``POST /v1/models/{model_id}/predict``: a plain Starlette route, for it must be fast."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from app.domain.errors import InvalidRequest
from app.errors import problems
from app.inference.runtime import InferenceRuntime
from app.inference.schemas import Answers, PredictRequest

_PATH = "/v1/models/{model_id}/predict"

_PATIENCE_S = 0.1
"""From here on it pays to look whether the client is still there."""

_CLIENT_CLOSED_REQUEST = 499


async def predict(request: Request) -> Response:
    """Ask a model.

    It answers by its task, in the forms that clients of Hugging Face read; inputs in their order:

    - text_classification: a list for each input, a single one as a list of one, labels best first, scores a
      softmax: `[[{"label": "positive", "score": 0.98}, {"label": "negative", "score": 0.02}]]`.
    - text_regression: the same form with one number, on the scale of the data set:
      `[[{"label": "score", "score": 4.2}]]`.
    - token_classification: named entities, which are `text[start:end]`, in the order of the text:
      `[{"entity_group": "LOC", "score": 0.99, "word": "Oslo", "start": 8, "end": 12}]`; to a list of inputs a
      list of such lists. With `aggregation_strategy` `none`: words with their tag, as `entity`.
    - masked_language_modeling: words for the mask of the model's tokenizer, which stands in each text once,
      best first: `[{"score": 0.5, "token": 2003, "token_str": "is", "sequence": "this is it."}]`; to a list
      of inputs a list of such lists.
    - translation: an object for each input, a single one in a list too:
      `[{"translation_text": "Ein Hund."}]`.

    Texts longer than the model takes are cut. The first request loads the model.
    """
    asked = _read(await request.body())
    runtime: InferenceRuntime = request.app.state.inference
    try:
        async with _cancelled_when_gone(request):
            answers = await runtime.predict(request.path_params["model_id"], asked.inputs, asked.parameters)
    except ClientGone:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    return Response(to_json(answers), media_type="application/json")


def inference_routes() -> list[Route]:
    return [_PlainRoute(_PATH, predict, methods=["POST"])]


class _PlainRoute(Route):
    """Names itself in the scope, as FastAPI's own routes do, for whoever counts requests by route."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "route": self}


class ClientGone(Exception):  # noqa: N818 - nobody made an error
    """Nobody waits for the answer any more."""


def _read(body: bytes) -> PredictRequest:
    try:
        return PredictRequest.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        raise InvalidRequest("invalid_request", f"The body is not JSON: {faults[0]['ctx']['error']}.")
    raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in faults])


@asynccontextmanager
async def _cancelled_when_gone(request: Request) -> AsyncIterator[None]:
    """Drop the work of the block when the client hangs up; costs nothing while answers are quick."""
    loop = asyncio.get_running_loop()
    waiting = asyncio.current_task()
    assert waiting is not None
    watch: asyncio.Task[None] | None = None

    async def listen() -> None:
        # The body has been read: all that can still come is the end of the connection.
        while (await request.receive())["type"] != "http.disconnect":
            pass
        waiting.cancel()

    def start() -> None:
        nonlocal watch
        watch = loop.create_task(listen())

    timer = loop.call_later(_PATIENCE_S, start)
    try:
        yield
    except asyncio.CancelledError:
        if watch is not None and watch.done() and not watch.cancelled():
            raise ClientGone from None
        raise
    finally:
        timer.cancel()
        if watch is not None:
            watch.cancel()


def openapi_document() -> dict[str, Any]:
    """What FastAPI would write of the route, which is not its own."""
    summary, _, description = inspect.cleandoc(predict.__doc__ or "").partition("\n\n")
    schemas, definitions = TypeAdapter.json_schemas(
        [
            ("body", "validation", TypeAdapter(PredictRequest)),
            ("answer", "serialization", TypeAdapter(Answers)),
        ],
        ref_template="#/components/schemas/{model}",
    )
    errors = problems(404, 409, 413, 422, 429, 500, 503)
    operation = {
        "tags": ["inference"],
        "summary": summary.rstrip("."),
        "description": description,
        "operationId": "predict",
        "parameters": [{"name": "model_id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schemas["body", "validation"]}},
        },
        "responses": {
            "200": {
                "description": "By the model's task, in the order of the inputs.",
                "content": {"application/json": {"schema": schemas["answer", "serialization"]}},
            },
            **{str(status): problem for status, problem in errors.items()},
        },
    }
    return {"paths": {_PATH: {"post": operation}}, "components": {"schemas": definitions["$defs"]}}
