"""``POST /v1/models/{model_id}/predict``: a plain Starlette route, for it must be fast."""

import inspect
import logging
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.auth.guard import counted_predictions
from app.auth.principal import Principal
from app.auth.routes import REFUSALS, PlainProtectedRoute, requires
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS
from app.errors import problems
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.results import Result
from app.inference.protocols.connection import CLIENT_CLOSED_REQUEST, ClientGone, cancelled_when_gone
from app.inference.protocols.huggingface.parameters import read_parameters
from app.inference.protocols.huggingface.rendering import pointer_to, render_problem, render_results
from app.inference.protocols.huggingface.schemas import Answers, PredictRequest
from app.inference.runtime import InferenceRuntime

_PATH = "/v1/models/{model_id}/predict"


async def predict(request: Request) -> Response:
    """Predict with a model.

    Predictions have the form that Hugging Face clients expect, by task, in the order of the inputs:

    {answers}

    Texts longer than the model's maximum length are truncated. The first request loads the model.
    """
    asked = _read(await request.body())
    try:
        async with cancelled_when_gone(request):
            results = await _ask(request, asked)
    except ClientGone:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    answers = render_results(results, is_list=asked.inputs.is_list)
    return Response(to_json(answers), media_type="application/json")


def huggingface_routes() -> list[Route]:
    route = PlainProtectedRoute(
        _PATH,
        predict,
        methods=["POST"],
        scope="predict",
        render_problem=render_problem,
        log_level=logging.DEBUG,  # predictions come by the thousand a second; the metrics have them
    )
    return [route]


async def _ask(request: Request, asked: PredictRequest) -> list[Result]:
    runtime: InferenceRuntime = request.app.state.inference
    principal: Principal = request.state.principal
    model = await runtime.find(principal.project_id, request.path_params["model_id"])
    parameters = read_parameters(model.task, asked.parameters)
    texts = asked.inputs.texts
    try:
        async with counted_predictions(request, len(texts)):
            return await runtime.predict(model, texts, parameters.options(), precision=parameters.precision)
    except InvalidArgument as error:
        error.pointer = pointer_to(error.argument)
        raise


def _read(body: bytes) -> PredictRequest:
    try:
        return PredictRequest.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        raise InvalidRequest("invalid_request", f"The body is not valid JSON: {faults[0]['ctx']['error']}.")
    raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in faults])


def openapi_document() -> dict[str, Any]:
    """What FastAPI would write of the route, which is not its own."""
    summary, _, description = inspect.cleandoc(predict.__doc__ or "").partition("\n\n")
    answers = "\n".join(f"- {task}: {record.answer_help}" for task, record in TASKS.items())
    schemas, definitions = TypeAdapter.json_schemas(
        [
            ("body", "validation", TypeAdapter(PredictRequest)),
            ("answer", "serialization", TypeAdapter(Answers)),
        ],
        ref_template="#/components/schemas/{model}",
    )
    errors = problems(*REFUSALS, 404, 408, 409, 413, 415, 422, 500, 503, 507)
    operation = {
        "tags": ["inference"],
        "summary": summary.rstrip("."),
        "description": description.format(answers=answers),
        "operationId": "predict",
        "parameters": [{"name": "model_id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schemas["body", "validation"]}},
        },
        "responses": {
            "200": {
                "description": "Predictions in the order of the inputs, in the form of the model's task.",
                "content": {"application/json": {"schema": schemas["answer", "serialization"]}},
            },
            **{str(status): problem for status, problem in errors.items()},
        },
        **requires("predict"),
    }
    return {"paths": {_PATH: {"post": operation}}, "components": {"schemas": definitions["$defs"]}}
