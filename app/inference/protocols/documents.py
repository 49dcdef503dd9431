"""What FastAPI would write of routes that are not its own."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from app.auth.routes import REFUSALS, requires
from app.errors import problems

_ERRORS = (*REFUSALS, 404, 408, 409, 413, 415, 422, 500, 503, 507)


def operation_document(
    path: str,
    endpoint: Callable[..., Any],
    *,
    operation_id: str,
    body: type,
    answer: Any,
    answer_description: str,
    description: str | None = None,
    parameters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The description of a route that answers a POST of JSON, with the schemas that it names.

    Args:
        path: of the route.
        endpoint: its docstring gives the summary and, by default, the description.
        operation_id: names it in clients.
        body: a model of pydantic.
        answer: likewise, or another type that pydantic knows.
        answer_description: of the answer 200.
        description: in place of the docstring's.
        parameters: of the path.
    """
    summary, _, told = inspect.cleandoc(endpoint.__doc__ or "").partition("\n\n")
    schemas, definitions = TypeAdapter.json_schemas(
        [("body", "validation", TypeAdapter(body)), ("answer", "serialization", TypeAdapter(answer))],
        ref_template="#/components/schemas/{model}",
    )
    operation = {
        "tags": ["inference"],
        "summary": summary.rstrip("."),
        "description": description or told,
        "operationId": operation_id,
        "parameters": list(parameters),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schemas["body", "validation"]}},
        },
        "responses": {
            "200": {
                "description": answer_description,
                "content": {"application/json": {"schema": schemas["answer", "serialization"]}},
            },
            **{str(status): problem for status, problem in problems(*_ERRORS).items()},
        },
        **requires("predict"),
    }
    return {"paths": {path: {"post": operation}}, "components": {"schemas": definitions["$defs"]}}
