"""``POST /v1/models/{model_id}/predict``: a plain Starlette route, for it must be fast."""

import inspect
import logging
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.auth.routes import PlainProtectedRoute
from app.domain.tasks import TASKS
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.results import Result
from app.inference.protocols.asking import ask, find_model, read_body
from app.inference.protocols.documents import operation_document
from app.inference.protocols.huggingface.parameters import read_parameters
from app.inference.protocols.huggingface.rendering import pointer_to, render_problem, render_results
from app.inference.protocols.huggingface.schemas import Answers, PredictRequest

_PATH = "/v1/models/{model_id}/predict"


async def predict(request: Request) -> Response:
    """Predict with a model.

    Predictions have the form that Hugging Face clients expect, by task, in the order of the inputs:

    {answers}

    Texts longer than the model's maximum length are truncated. The first request loads the model.
    """
    asked = read_body(await request.body(), PredictRequest)
    results = await _ask(request, asked)
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
    model = await find_model(request, request.path_params["model_id"])
    parameters = read_parameters(model.task, asked.parameters)
    try:
        return await ask(
            request, model, asked.inputs.texts, parameters.options(), precision=parameters.precision
        )
    except InvalidArgument as error:
        error.pointer = pointer_to(error.argument)
        raise


def openapi_document() -> dict[str, Any]:
    """What FastAPI would write of the route, which is not its own."""
    told = inspect.cleandoc(predict.__doc__ or "").partition("\n\n")[-1]
    answers = "\n".join(f"- {task}: {record.answer_help}" for task, record in TASKS.items())
    return operation_document(
        _PATH,
        predict,
        operation_id="predict",
        body=PredictRequest,
        answer=Answers,
        answer_description="Predictions in the order of the inputs, in the form of the model's task.",
        description=told.format(answers=answers),
        parameters=[{"name": "model_id", "in": "path", "required": True, "schema": {"type": "string"}}],
    )
