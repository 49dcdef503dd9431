"""``POST /v1/classify``, as the clients of vLLM and SGLang ask for the labels of texts."""

import logging
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.auth.routes import PlainProtectedRoute
from app.domain.errors import InvalidRequest
from app.domain.exact_types import ExactModel
from app.inference.predictors.classifier import ClassificationOptions
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.results import RankedLabels
from app.inference.protocols.asking import ask, find_model, read_body
from app.inference.protocols.bodies import body_of
from app.inference.protocols.documents import operation_document
from app.inference.protocols.limits import MAX_CHARACTERS, MAX_INPUTS
from app.inference.protocols.openai.embeddings import TokenUsage
from app.inference.runtime import ServableModel
from app.problems import render_problem

_PATH: Final = "/v1/classify"
_TASKS: Final = ("text_classification", "multi_label_classification")

_Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class ClassifyRequest(ExactModel):
    """Texts whose labels are asked for."""

    model: str = Field(
        description="Id of a model of the task text_classification or multi_label_classification."
    )
    input: _Text | Annotated[list[_Text], Field(min_length=1, max_length=MAX_INPUTS)] = Field(
        description="A text, or a list of texts."
    )
    user: str | None = Field(default=None, description="Accepted for compatibility, and not stored.")

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Classification(TypedDict):
    """The probabilities of one text, in the order of the model's labels, and the most probable label."""

    index: int
    label: str
    probs: list[float]
    num_classes: int
    labels: NotRequired[list[str]]
    """Of a model of several labels, those that apply."""
    model: NotRequired[str]
    """Which of an endpoint's models answered, where it has a fallback."""


class ClassifyAnswer(TypedDict):
    """The classifications in the order of the texts."""

    id: str
    """That of the request, as in ``X-Request-ID``."""
    object: Literal["list"]
    created: int
    model: str
    data: list[Classification]
    usage: TokenUsage


async def classify(request: Request) -> Response:
    """Classify texts, as vLLM and SGLang do.

    Texts longer than the model's maximum length are truncated. The first request loads the model. Of models
    of several labels `labels` has those that apply.
    """
    asked = read_body(await body_of(request), ClassifyRequest)
    model = await _find_classifier(request, asked.model)
    try:
        results = await ask(request, model, asked.texts, ClassificationOptions())
    except InvalidArgument as error:
        error.pointer = "#/input"
        raise
    ranked = [result for result in results if isinstance(result, RankedLabels)]
    names = model.manifest.labels or []
    tokens = sum(result.tokens for result in ranked)
    answer: ClassifyAnswer = {
        "id": request.state.request_id,
        "object": "list",
        "created": int(time.time()),
        "model": asked.model,
        "data": [_classification(index, result, names) for index, result in enumerate(ranked)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Response(to_json(answer), media_type="application/json")


def classify_route() -> PlainProtectedRoute:
    return PlainProtectedRoute(
        _PATH,
        classify,
        methods=["POST"],
        scope="predict",
        render_problem=render_problem,
        log_level=logging.DEBUG,
    )


def classify_document() -> dict[str, Any]:
    return operation_document(
        _PATH,
        classify,
        operation_id="classify",
        body=ClassifyRequest,
        answer=ClassifyAnswer,
        answer_description="The classifications in the order of the texts.",
    )


async def _find_classifier(request: Request, model_id: str) -> ServableModel:
    model = await find_model(request, model_id)
    if model.task not in _TASKS:
        raise InvalidRequest(
            "model_gives_no_labels",
            f"Model {model_id} is of the task {model.task}. Use a model of {' or '.join(_TASKS)}, or "
            f"POST /v1/models/{model_id}/predict.",
            pointer="#/model",
            task=model.task,
        )
    return model


def _classification(index: int, result: RankedLabels, names: Sequence[str]) -> Classification:
    scores = {label: score for label, score, _ in result.labels}
    classification: Classification = {
        "index": index,
        "label": result.labels[0].label,
        "probs": [scores.get(name, 0.0) for name in names],  # a fallback may lack a label
        "num_classes": len(names),
    }
    if result.labels[0].passes is not None:
        classification["labels"] = [label for label, _, passes in result.labels if passes]
    if result.model is not None:
        classification["model"] = result.model
    return classification
