"""The API's description of itself."""

from typing import Any

from fastapi import FastAPI

from app.errors import Problem

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "model": Problem,
        "description": "The request cannot be done as it is: `detail` says why, and what to do.",
    }
}

_PROBLEM = {
    "description": PROBLEM_RESPONSES["4XX"]["description"],
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe(app: FastAPI, plain_routes: dict[str, Any]) -> None:
    """Make ``app.openapi()`` whole.

    It leaves out plain Starlette routes, whose part is given, and it cannot be told the media type of
    problems.
    """
    describe_own_routes = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe_own_routes()
            schema["paths"] |= plain_routes["paths"]
            schema["components"]["schemas"] |= plain_routes["components"]["schemas"]
            for operation in _operations(schema):
                operation["responses"]["4XX"] = _PROBLEM
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in schema["paths"].values() for operation in path.values()]
