"""Predictions under the paths that clients of Hugging Face ask: plain routes, for they must be fast."""

import inspect
import logging
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.auth.routes import PlainProtectedRoute
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS, Task
from app.engine.tokenizing import Input
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.results import Result
from app.inference.protocols.asking import ask, find_model, read_body
from app.inference.protocols.bodies import body_of
from app.inference.protocols.documents import operation_document
from app.inference.protocols.huggingface.comparing import compared_texts, similarities
from app.inference.protocols.huggingface.rendering import pointer_to, render_problem, render_results
from app.inference.protocols.huggingface.schemas import Answers, Comparison, PredictRequest
from app.inference.protocols.parameters import IGNORED, Parameters, read_parameters
from app.inference.runtime import ServableModel

_PREDICT: Final = "/v1/models/{model_id}/predict"
_ALIASES: Final = {
    "/v1/models/{model_id}": "predictAtModel",
    "/models/{model_id}": "predictAsEndpoint",
    "/models/{model_id}/pipeline/{pipeline}": "predictAsPipeline",
}
"""Clients append nothing to the URL of a model, or the pipeline that they want."""

_PIPELINES: Final[dict[Task, tuple[str, ...]]] = {
    "text_classification": ("text-classification", "sentiment-analysis"),
    "multi_label_classification": ("text-classification",),
    "text_regression": ("text-classification", "sentence-similarity"),
    "token_classification": ("token-classification", "ner"),
    "masked_language_modeling": ("fill-mask",),
    "question_answering": ("question-answering",),
    "translation": ("translation",),
    "sentence_embedding": ("feature-extraction", "sentence-similarity"),
}
"""What the hub calls the tasks."""


async def predict(request: Request) -> Response:
    """Predict with a model.

    Predictions have the form that Hugging Face clients expect, by task, in the order of the inputs:

    {answers}

    Texts longer than the model's maximum length are truncated. The first request loads the model. Bodies may
    be packed with gzip. Parameters of Hugging Face that say how work is done, such as `batch_size`, have no
    effect; the header `{ignored}` of the answer names them.
    """
    asked = read_body(await body_of(request), PredictRequest)
    model = await find_model(request, request.path_params["model_id"])
    _require_pipeline(request, model)
    parameters = read_parameters(model.task, asked.all_parameters)
    answers: Answers
    if isinstance(asked.inputs, Comparison):
        results = await _ask(request, model, compared_texts(model, asked.inputs), parameters)
        answers = similarities(results)
    else:
        results = await _ask(request, model, asked.inputs.texts, parameters)
        answers = render_results(results, is_list=asked.inputs.is_list)
    headers = {IGNORED: ", ".join(parameters.ignored)} if parameters.ignored else None
    return Response(to_json(answers), media_type="application/json", headers=headers)


def predict_routes() -> list[Route]:
    return [
        PlainProtectedRoute(
            path,
            predict,
            methods=["POST"],
            scope="predict",
            render_problem=render_problem,
            log_level=logging.DEBUG,  # predictions come by the thousand a second; the metrics have them
        )
        for path in (_PREDICT, *_ALIASES)
    ]


async def _ask(
    request: Request, model: ServableModel, texts: list[Input], parameters: Parameters
) -> list[Result]:
    try:
        return await ask(request, model, texts, parameters.options(), precision=parameters.precision)
    except InvalidArgument as error:
        error.pointer = pointer_to(error.argument)
        raise


def _require_pipeline(request: Request, model: ServableModel) -> None:
    """Raises ``InvalidRequest`` where the path names a pipeline of other models."""
    wanted = request.path_params.get("pipeline")
    known = _PIPELINES[model.task]
    if wanted is not None and wanted not in known:
        raise InvalidRequest(
            "model_of_another_task",
            f"Model {model.key.name} is of the task {model.task}, which answers as {' or '.join(known)}, "
            f"not as {wanted[:50]!r}. Ask another model, or POST /models/{model.key.name}.",
            task=model.task,
            known=list(known),
        )


def predict_document() -> dict[str, Any]:
    """What FastAPI would write of the routes, which are not its own."""
    told = inspect.cleandoc(predict.__doc__ or "").partition("\n\n")[-1]
    answers = "\n".join(f"- {task}: {record.answer_help}" for task, record in TASKS.items())
    return operation_document(
        _PREDICT,
        predict,
        operation_id="predict",
        body=PredictRequest,
        answer=Answers,
        answer_description="Predictions in the order of the inputs, in the form of the model's task.",
        description=told.format(answers=answers, ignored=IGNORED),
        aliases=_ALIASES,
    )
