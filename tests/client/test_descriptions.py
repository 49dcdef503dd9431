"""What the client calls and reads is in the API's description."""

import json
from pathlib import Path
from typing import Any

import pytest
from squeeze_client import responses
from squeeze_client.operations import OPERATIONS
from squeeze_client.reports import Report  # noqa: F401 - one of the responses
from squeeze_client.responses import Response

SNAPSHOT = json.loads((Path(__file__).parents[1] / "app" / "openapi.json").read_text())
SCHEMAS = SNAPSHOT["components"]["schemas"]
MODELS = [
    model
    for model in vars(responses).values()
    if isinstance(model, type) and issubclass(model, Response) and model is not Response
]


def test_operations():
    described = {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, operations in SNAPSHOT["paths"].items()
        for method, operation in operations.items()
    }
    assert {name: described.get(name) for name in OPERATIONS} == OPERATIONS


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_fields(model: type[Response]):
    described = SCHEMAS[model.schema_name]["properties"]
    for name, read in model.model_json_schema(mode="serialization")["properties"].items():
        assert name in described, f"{model.schema_name} has no {name}"
        definitions = model.model_json_schema(mode="serialization").get("$defs", {})
        sent, taken = types_of(described[name], SCHEMAS), types_of(read, definitions)
        assert sent <= taken, f"{model.schema_name}.{name}: {sent} may come, {taken} is read"


def types_of(schema: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """The JSON types that a schema allows; an integer may be read as a number."""
    if "$ref" in schema:
        return types_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return set().union(*(types_of(choice, definitions) for choice in choices))
    kind = schema.get("type")
    if kind is None:
        return {"null", "object", "array", "string", "number", "integer", "boolean"}
    return {kind, "integer"} if kind == "number" and "$defs" in definitions else {kind}
