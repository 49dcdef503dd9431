"""The API's description of itself."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel

from app.auth.routes import SECURITY_SCHEMES
from app.problems import Problem

_REFERENCE = "#/components/schemas/{model}"


def operation_id(route: APIRoute) -> str:
    """``list_models`` is ``listModels``: whoever generates a client gets methods of that name."""
    return to_camel(route.name)


def describe(app: FastAPI, fragments: Sequence[Callable[[], dict[str, Any]]]) -> None:
    """Make ``app.openapi()`` whole.

    Args:
        app: its routes are described by FastAPI.
        fragments: what FastAPI does not know: plain Starlette routes, bodies that a route reads itself. They
            are written when somebody asks, which is never in most processes.
    """
    describe_own_routes = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe_own_routes()
            for fragment in (*(write() for write in fragments), _problem()):
                for path, operations in fragment.get("paths", {}).items():
                    schema["paths"].setdefault(path, {}).update(operations)
                schema["components"]["schemas"] |= fragment["components"]["schemas"]
            schema["components"]["securitySchemes"] = SECURITY_SCHEMES
            _remove_default_errors(schema)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _problem() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template=_REFERENCE)
    return {"components": {"schemas": {**schema.pop("$defs"), "Problem": schema}}}


def _remove_default_errors(schema: dict[str, Any]) -> None:
    """FastAPI writes its own 422 at routes that name none, which have no parameter that could be wrong."""
    schemas = schema["components"]["schemas"]
    for path in schema["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
