"""What all protocols do between reading a request and rendering its answer."""

import math
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final, TypeVar

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
from app.inference.timing import RequestTiming

REQUEST_TIMEOUT: Final = "X-Request-Timeout"
"""The header that says how many seconds a client waits for an answer."""

SERVER_TIMING: Final = "Server-Timing"
"""The header that says where the time of an answer went, in milliseconds."""

_TIMEOUTS: Final = (REQUEST_TIMEOUT.lower(), "request-timeout", "x-stainless-read-timeout")
"""Its names, the last one that of OpenAI's client, which sends it unasked."""

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
    timeout_s: float | None = None,
) -> list[Result]:
    """Counted predictions; arguments and errors as ``InferenceRuntime.predict``.

    How long the client waits is ``timeout_s`` where the body says so, else what a header says.

    Raises:
        ClientGone: nobody waits for them any more.
        DeadlineExceeded: nor does anybody, since the timeout has passed.
        InvalidRequest: a header has a timeout that is none.
    """
    timing = RequestTiming(monotonic() + (_timeout_s(request) if timeout_s is None else timeout_s))
    async with (
        cancelled_when_gone(request),
        counted_predictions(request, len(texts)),
        timing.until_deadline(),
    ):
        results = await runtime_of(request).predict(model, texts, options, precision=precision, timing=timing)
    request.scope["state"].setdefault("response_headers", {})[SERVER_TIMING.lower()] = (
        f"queue;dur={timing.queue_s * 1e3:.2f}, tokenize;dur={timing.tokenize_s * 1e3:.2f}, "
        f"run;dur={timing.run_s * 1e3:.2f}"
    )
    return results


def _timeout_s(request: Request) -> float:
    given = next((given for name in _TIMEOUTS if (given := request.headers.get(name)) is not None), None)
    if given is None:
        return math.inf
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidRequest(
            "invalid_timeout",
            f"The timeout {given[:50]!r} in the header is not a number of seconds. Send one above 0.",
            timeout=given[:50],
        )
    return seconds


def runtime_of(request: Request) -> InferenceRuntime:
    runtime: InferenceRuntime = request.app.state.inference
    return runtime
