"""``POST /v2/models/{model_id}/infer``: texts as tensors in, answers as tensors out."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from app.auth.routes import PlainProtectedRoute
from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS
from app.inference.predictors.results import Result
from app.inference.protocols.asking import ask, read_body
from app.inference.protocols.bodies import body_of
from app.inference.protocols.documents import operation_document
from app.inference.protocols.kserve.rendering import BINARY, ERRORS, asked_name, kserve_route, named_model
from app.inference.protocols.kserve.schemas import (
    VERSION,
    InferAnswer,
    InferRequest,
    OutputTensor,
    RequestedOutput,
)
from app.inference.protocols.kserve.signatures import gives, inputs_of
from app.inference.protocols.kserve.tensors import (
    HEADER_LENGTH,
    Tensor,
    read_texts,
    split_body,
    write_tensor,
)
from app.inference.protocols.parameters import IGNORED, Parameters, read_parameters
from app.inference.runtime import ServableModel

_INFER: Final = "/v2/models/{model_id}/infer"
_OF_VERSION: Final = "/v2/models/{model_id}/versions/{version}/infer"
_ALL_BINARY: Final = "binary_data_output"
_TIMEOUT: Final = "timeout"
"""In microseconds; 0: none."""
_OF_THE_PROTOCOL: Final = ("priority", "sequence_end", "sequence_id", "sequence_start")
"""Parameters of requests that say how work is done: no answer depends on them."""

_PROBABILITIES: Final = "probabilities"


async def infer(request: Request) -> Response:
    """Predict with a model, in the Open Inference Protocol (KServe v2).

    Texts are tensors of BYTES, [n] or [n, 1]: `text`, and `text_pair` for models of pairs, or `question` and
    `context`. `GET /v2/models/{model_id}` says what a model takes and gives. Tensors may follow the JSON as
    bytes (the binary extension). `parameters` may hold those of the model's task: see `predict`.
    """
    json, content = split_body(await body_of(request), request.headers.get(HEADER_LENGTH))
    asked = read_body(json, InferRequest)
    _require_name(request, asked)
    model = await named_model(request)
    texts = inputs_of(model, read_texts(asked.inputs, content))
    wanted = asked.outputs or [RequestedOutput(name=output.name) for output in gives(model)]
    _require_outputs(model, wanted)
    parameters, ignored = _parameters(model, asked.parameters)
    results = await ask(
        request,
        model,
        texts,
        parameters.options(),
        precision=parameters.precision,
        timeout_s=_timeout_s(asked.parameters),
    )
    is_binary = asked.parameters.get(_ALL_BINARY) is True
    written = [
        write_tensor(
            output.name,
            _tensor(model, results, output),
            is_binary=output.parameters.get("binary_data", is_binary) is True,
        )
        for output in wanted
    ]
    answer: InferAnswer = {
        "model_name": asked_name(request),
        "model_version": VERSION,
        "outputs": [tensor for tensor, _ in written],
    }
    if asked.id is not None:
        answer["id"] = asked.id
    response = _answer(to_json(answer), written)
    if ignored:
        response.headers[IGNORED] = ", ".join(ignored)
    return response


def infer_routes() -> list[PlainProtectedRoute]:
    return [kserve_route(path, infer) for path in (_INFER, _OF_VERSION)]


def infer_document() -> dict[str, Any]:
    return operation_document(
        _INFER,
        infer,
        operation_id="infer",
        body=InferRequest,
        answer=InferAnswer,
        answer_description="The outputs that were asked for, or all.",
        other_media_types=[BINARY],
        errors=ERRORS,
        aliases={_OF_VERSION: "inferVersion"},
    )


def _require_name(request: Request, asked: InferRequest) -> None:
    """Raises ``InvalidRequest`` where body and path name two models."""
    if asked.model_name not in (None, asked_name(request)):
        raise InvalidRequest(
            "another_model_name",
            f"The path names the model {asked_name(request)[:50]!r} and the body {asked.model_name[:50]!r}. "
            "Name one.",
        )


def _parameters(model: ServableModel, given: dict[str, Any]) -> tuple[Parameters, list[str]]:
    """Those of the task, and names of those that have no effect."""
    own = {
        name: value for name, value in given.items() if name not in (*_OF_THE_PROTOCOL, _ALL_BINARY, _TIMEOUT)
    }
    if "top_k" in own and TASKS[model.task].predictor != "fill_mask":
        raise InvalidRequest(
            "unknown_parameter",
            f"Parameter 'top_k' is not for {model.task} in this protocol: its outputs are of one shape. "
            f"Give the output {_PROBABILITIES} a classification, or POST /models/{model.key.name}.",
            parameter="top_k",
        )
    parameters = read_parameters(model.task, own)
    return parameters, sorted({*parameters.ignored, *(given.keys() & _OF_THE_PROTOCOL)})


def _timeout_s(given: dict[str, Any]) -> float | None:
    timeout = given.get(_TIMEOUT, 0)
    if not isinstance(timeout, int) or isinstance(timeout, bool) or not 0 <= timeout < 2**63:
        raise InvalidRequest(
            "invalid_timeout",
            f"The parameter {_TIMEOUT!r} is no number of microseconds. Send an integer above 0, or none.",
            parameter=_TIMEOUT,
        )
    return timeout / 1e6 if timeout else None


def _require_outputs(model: ServableModel, wanted: Sequence[RequestedOutput]) -> None:
    """Raises ``InvalidRequest`` where the model has no such output, or not in that form."""
    known = [output.name for output in gives(model)]
    for output in wanted:
        if output.name not in known:
            raise _wrong_output(output, f"is none of model {model.key.name}, which has {', '.join(known)}")
        if others := sorted(output.parameters.keys() - {"binary_data", "classification"}):
            raise _wrong_output(
                output, f"has the parameter {others[0][:50]!r}; known are binary_data and classification"
            )
        count = output.parameters.get("classification", 1)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise _wrong_output(output, "has a classification that is no number of labels")
        if "classification" in output.parameters and output.name != _PROBABILITIES:
            raise _wrong_output(output, f"has a classification; only {_PROBABILITIES} can have one")


def _wrong_output(output: RequestedOutput, what: str) -> InvalidRequest:
    name = output.name[:50]
    return InvalidRequest("wrong_output", f"Output {name!r} {what}.", output=name)


def _tensor(model: ServableModel, results: Sequence[Result], wanted: RequestedOutput) -> Tensor:
    [output] = [output for output in gives(model) if output.name == wanted.name]
    tensor = output.tensor(model, results)
    if (count := wanted.parameters.get("classification")) is None:
        return tensor
    labels = model.manifest.labels or []
    best = np.argsort(-tensor.values, axis=1, kind="stable")[:, :count]
    rows = [
        [f"{row[index]:f}:{index}:{labels[index]}" for index in indices]
        for row, indices in zip(tensor.values.tolist(), best.tolist(), strict=True)
    ]
    return Tensor("BYTES", np.array(rows, object))


def _answer(json: bytes, written: Sequence[tuple[OutputTensor, bytes]]) -> Response:
    """JSON, or JSON and the bytes of tensors behind it."""
    if not any("data" not in tensor for tensor, _ in written):
        return Response(json, media_type="application/json")
    contents: Iterator[bytes] = (content for _, content in written)
    return Response(b"".join((json, *contents)), media_type=BINARY, headers={HEADER_LENGTH: str(len(json))})
