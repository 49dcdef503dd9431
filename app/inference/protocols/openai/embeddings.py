"""``POST /v1/embeddings``, as the clients of OpenAI's API ask for vectors of texts."""

import base64
import logging
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.auth.routes import PlainProtectedRoute
from app.domain.errors import InvalidRequest
from app.domain.exact_types import ExactModel
from app.inference.predictors.embedder import EmbeddingOptions
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.results import Vector
from app.inference.protocols.asking import ask, find_model, read_body
from app.inference.protocols.bodies import body_of
from app.inference.protocols.documents import operation_document
from app.inference.protocols.limits import MAX_CHARACTERS, MAX_INPUTS
from app.problems import render_problem

_PATH: Final = "/v1/embeddings"
_TASK: Final = "sentence_embedding"

_Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class EmbeddingsRequest(ExactModel):
    """Texts whose vectors are asked for."""

    model: str = Field(description="Id of a model of the task sentence_embedding.")
    input: _Text | Annotated[list[_Text], Field(min_length=1, max_length=MAX_INPUTS)] = Field(
        description="A text, or a list of texts."
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="`base64`: the bytes of little-endian 32-bit floats."
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        description="The first so many, at length 1; default: all, as the model gives them.",
    )
    user: str | None = Field(default=None, description="Accepted for compatibility, and not stored.")

    @field_validator("input", mode="before")
    @classmethod
    def _refuse_token_ids(cls, value: object) -> object:
        if isinstance(value, list) and any(isinstance(item, int | list) for item in value):
            raise ValueError(
                "the input holds token ids, which are of another tokenizer than the model's. Send texts; "
                "LangChain does so with check_embedding_ctx_length=False"
            )
        return value

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(TypedDict):
    """The vector of one text."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class TokenUsage(TypedDict):
    """Tokens of the texts, as the model reads them."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(TypedDict):
    """The vectors in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: TokenUsage


async def create_embeddings(request: Request) -> Response:
    """Embed texts, as OpenAI's API does.

    Texts longer than the model's maximum length are truncated. The first request loads the model.
    """
    asked = read_body(await body_of(request), EmbeddingsRequest)
    vectors = await _vectors(request, asked)
    tokens = sum(vector.tokens for vector in vectors)
    answer: EmbeddingsAnswer = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(vector, asked.encoding_format)}
            for index, vector in enumerate(vectors)
        ],
        "model": asked.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Response(to_json(answer), media_type="application/json")


def embeddings_route() -> PlainProtectedRoute:
    return PlainProtectedRoute(
        _PATH,
        create_embeddings,
        methods=["POST"],
        scope="predict",
        render_problem=render_problem,
        log_level=logging.DEBUG,
    )


def embeddings_document() -> dict[str, Any]:
    return operation_document(
        _PATH,
        create_embeddings,
        operation_id="createEmbeddings",
        body=EmbeddingsRequest,
        answer=EmbeddingsAnswer,
        answer_description="The vectors in the order of the texts.",
    )


async def _vectors(request: Request, asked: EmbeddingsRequest) -> Sequence[Vector]:
    model = await find_model(request, asked.model)
    if model.task != _TASK:
        raise InvalidRequest(
            "model_gives_no_vectors",
            f"Model {asked.model} is of the task {model.task}. Use a model of {_TASK}, or "
            f"POST /v1/models/{asked.model}/predict.",
            pointer="#/model",
            task=model.task,
        )
    try:
        results = await ask(request, model, asked.texts, EmbeddingOptions(dimensions=asked.dimensions))
    except InvalidArgument as error:
        error.pointer = f"#/{'input' if error.argument == 'inputs' else error.argument}"
        raise
    return [result for result in results if isinstance(result, Vector)]


def _encoded(vector: Vector, encoding: Literal["float", "base64"]) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.values.astype("<f4").tobytes()).decode()
    numbers: list[float] = vector.values.tolist()
    return numbers
