"""``POST /v1/rerank``, as the clients of Cohere's and Jina's APIs ask which documents answer a query."""

import logging
from typing import Annotated, Any, Final, NotRequired

from pydantic import Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.auth.routes import PlainProtectedRoute
from app.domain.errors import InvalidRequest
from app.domain.exact_types import ExactModel
from app.inference.predictors.classifier import RegressionOptions
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.results import Number
from app.inference.protocols.asking import ask, find_model, read_body
from app.inference.protocols.bodies import body_of
from app.inference.protocols.documents import operation_document
from app.inference.protocols.limits import MAX_CHARACTERS, MAX_INPUTS
from app.problems import render_problem

_PATH: Final = "/v1/rerank"
_TASK: Final = "text_regression"

_Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class Document(ExactModel):
    """A document."""

    text: _Text


class RerankRequest(ExactModel):
    """A query, and documents that may answer it."""

    model: str = Field(description="Id of a text_regression model of pairs: the query is its first text.")
    query: _Text
    documents: list[_Text | Document] = Field(min_length=1, max_length=MAX_INPUTS)
    top_n: int | None = Field(default=None, ge=1, description="The best so many; default: all.")
    return_documents: bool = Field(default=False, description="Whether results hold the documents.")


class DocumentText(TypedDict):
    """A document of a result."""

    text: str


class RankedDocument(TypedDict):
    """A document's place in the request, and the model's number for it and the query."""

    index: int
    relevance_score: float
    document: NotRequired[DocumentText]


class RerankAnswer(TypedDict):
    """Documents, the best first."""

    model: str
    results: list[RankedDocument]


async def rerank(request: Request) -> Response:
    """Rank documents by a query, as Cohere's and Jina's APIs do.

    Texts longer than the model's maximum length are truncated. The first request loads the model.
    """
    asked = read_body(await body_of(request), RerankRequest)
    texts = [item if isinstance(item, str) else item.text for item in asked.documents]
    scores = await _scores(request, asked, texts)
    order = sorted(range(len(texts)), key=lambda index: -scores[index])[: asked.top_n]
    results: list[RankedDocument] = [{"index": index, "relevance_score": scores[index]} for index in order]
    if asked.return_documents:
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    answer: RerankAnswer = {"model": asked.model, "results": results}
    return Response(to_json(answer), media_type="application/json")


def rerank_route() -> PlainProtectedRoute:
    return PlainProtectedRoute(
        _PATH,
        rerank,
        methods=["POST"],
        scope="predict",
        render_problem=render_problem,
        log_level=logging.DEBUG,
    )


def rerank_document() -> dict[str, Any]:
    return operation_document(
        _PATH,
        rerank,
        operation_id="rerank",
        body=RerankRequest,
        answer=RerankAnswer,
        answer_description="The documents, the best first.",
    )


async def _scores(request: Request, asked: RerankRequest, texts: list[str]) -> list[float]:
    model = await find_model(request, asked.model)
    if model.task != _TASK or model.manifest.is_pair is False:
        raise InvalidRequest(
            "model_ranks_no_pairs",
            f"Model {asked.model} is of the task {model.task}. Use a {_TASK} model that was trained on pairs "
            f"of texts, or POST /v1/models/{asked.model}/predict.",
            pointer="#/model",
            task=model.task,
        )
    try:
        results = await ask(request, model, [(asked.query, text) for text in texts], RegressionOptions())
    except InvalidArgument as error:
        error.pointer = "#/documents"
        raise
    return [result.value for result in results if isinstance(result, Number)]
