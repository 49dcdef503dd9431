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
    """Let ``app.openapi()`` say what FastAPI cannot know: the media type of problems, and plain routes."""
    describe_routes = app.openapi

    def openapi() -> dict[str, Any]:
        is_new = app.openapi_schema is None
        schema = describe_routes()
        if is_new:
            for operation in _operations(schema):
                content = operation["responses"]["4XX"]["content"]
                content["application/problem+json"] = content.pop("application/json")
            for operation in _operations(plain_routes):
                operation["responses"]["4XX"] = _PROBLEM
            schema["paths"] |= plain_routes["paths"]
            schema["components"]["schemas"] |= plain_routes["components"]["schemas"]
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in schema["paths"].values() for operation in path.values()]
