"""What FastAPI would write of routes that are not its own."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from app.auth.routes import JSON, REFUSALS, requires
from app.domain.scopes import Scope
from app.errors import problems
from app.inference.protocols.asking import REQUEST_TIMEOUT, SERVER_TIMING

_NONE: Final[Mapping[str, str]] = {}
_ERRORS: Final = (*REFUSALS, 404, 408, 409, 413, 415, 422, 500, 503, 507)

_TIMEOUT: Final[Mapping[str, Any]] = {
    "name": REQUEST_TIMEOUT,
    "in": "header",
    "description": "Seconds that the client waits for the answer. A request whose turn would come later is "
    "refused at once with a 429; one that is not answered by then is dropped, with a 504.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_TIMES: Final[Mapping[str, Any]] = {
    SERVER_TIMING: {
        "description": "Milliseconds that the texts waited in the queue, and that the batches took in which "
        "they were tokenized and run.",
        "schema": {"type": "string"},
        "example": "queue;dur=0.31, tokenize;dur=0.12, run;dur=2.05",
    }
}


def operation_document(
    path: str,
    endpoint: Callable[..., Any],
    *,
    operation_id: str,
    answer: Any,
    answer_description: str,
    method: str = "post",
    body: type | None = None,
    needs_body: bool = True,
    other_media_types: Sequence[str] = (),
    description: str | None = None,
    aliases: Mapping[str, str] = _NONE,
    errors: Collection[int] = _ERRORS,
    scope: Scope = "predict",
    is_prediction: bool = True,
) -> dict[str, Any]:
    """The description of a route of JSON, with the schemas that it names.

    Args:
        path: of the route; its parameters are texts.
        endpoint: its docstring gives the summary and, by default, the description.
        operation_id: names it in clients.
        answer: a model of pydantic, or another type that pydantic knows.
        answer_description: of the answer 200.
        method: of the route.
        body: likewise; None: it takes none.
        needs_body: whether it may not be left out.
        other_media_types: of body and answer, beside JSON.
        description: in place of the docstring's.
        aliases: other paths of the route, with the names of their operations.
        errors: statuses of problems.
        scope: that its key must allow.
        is_prediction: whether it takes a timeout, which may pass, and tells what took how long.
    """
    summary, _, told = inspect.cleandoc(endpoint.__doc__ or "").partition("\n\n")
    adapters: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        ("answer", "serialization", TypeAdapter(answer))
    ]
    if body is not None:
        adapters.append(("body", "validation", TypeAdapter(body)))
    schemas, definitions = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    others: dict[str, Any] = {name: {} for name in other_media_types}
    missed = [HTTPStatus.GATEWAY_TIMEOUT] if is_prediction else []
    operation: dict[str, Any] = {
        "tags": ["inference"],
        "summary": summary.rstrip("."),
        "responses": {
            "200": {
                "description": answer_description,
                "content": {JSON: {"schema": schemas["answer", "serialization"]}, **others},
            },
            **{str(status): problem for status, problem in problems(*errors, *missed).items()},
        },
        **requires(scope),
    }
    if is_prediction:
        operation["responses"]["200"]["headers"] = dict(_TIMES)
    if body is not None:
        content = {JSON: {"schema": schemas["body", "validation"]}, **others}
        operation["requestBody"] = {"required": needs_body, "content": content}
    described = {path: description or told} | dict.fromkeys(aliases, f"As `{method.upper()} {path}`.")
    paths = {
        at: {
            method: {
                **operation,
                "operationId": aliases.get(at, operation_id),
                "description": text,
                "parameters": _path_parameters(at) + ([dict(_TIMEOUT)] if is_prediction else []),
            }
        }
        for at, text in described.items()
    }
    return {"paths": paths, "components": {"schemas": definitions.get("$defs", {})}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def joined(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Descriptions of several routes in one, each with paths of its own."""
    return {
        "paths": {path: of for document in documents for path, of in document["paths"].items()},
        "components": {
            "schemas": {
                name: schema
                for document in documents
                for name, schema in document["components"]["schemas"].items()
            }
        },
    }
