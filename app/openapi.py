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


def describe(app: FastAPI) -> None:
    """Let ``app.openapi()`` name problems by their own media type, which FastAPI cannot be told."""
    describe_routes = app.openapi

    def openapi() -> dict[str, Any]:
        is_new = app.openapi_schema is None
        schema = describe_routes()
        if is_new:
            for operation in _operations(schema):
                content = operation["responses"]["4XX"]["content"]
                content["application/problem+json"] = content.pop("application/json")
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in schema["paths"].values() for operation in path.values()]
