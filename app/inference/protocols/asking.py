"""What all protocols do between reading a request and rendering its answer."""

from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.auth.guard import counted_predictions
from app.auth.principal import Principal
from app.domain.errors import InvalidRequest
from app.engine.tokenizing import Input
from app.inference.predictors.results import Result
from app.inference.protocols.connection import cancelled_when_gone
from app.inference.runtime import InferenceRuntime, ServableModel

Body = TypeVar("Body", bound=BaseModel)


def read_body(body: bytes, kind: type[Body]) -> Body:
    """A request's body as ``body_of`` gives it.

    Raises:
        InvalidRequest: it is not JSON.
        RequestValidationError: it is another thing.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        raise InvalidRequest("invalid_request", f"The body is not valid JSON: {faults[0]['ctx']['error']}.")
    raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in faults])


async def find_model(request: Request, model_id: str) -> ServableModel:
    """A model of the project that the request's key belongs to; errors as ``InferenceRuntime.find``."""
    principal: Principal = request.state.principal
    return await runtime_of(request).find(principal.project_id, model_id)


async def ask(
    request: Request,
    model: ServableModel,
    texts: Sequence[Input],
    options: Any,
    *,
    precision: str | None = None,
) -> list[Result]:
    """Counted predictions; arguments and errors as ``InferenceRuntime.predict``.

    Raises:
        ClientGone: nobody waits for them any more.
    """
    async with cancelled_when_gone(request), counted_predictions(request, len(texts)):
        return await runtime_of(request).predict(model, texts, options, precision=precision)


def runtime_of(request: Request) -> InferenceRuntime:
    runtime: InferenceRuntime = request.app.state.inference
    return runtime
