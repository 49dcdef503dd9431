"""The API reference, of the OpenAPI document: every operation with an example."""

import json
import re
from collections import defaultdict
from typing import Any

from app.core.settings import Settings
from app.main import create_app

Json = dict[str, Any]

_DEPTH = 4
"""How many levels of required members an example has at most."""


def api_pages() -> dict[str, str]:
    """Markdown by path in the documentation."""
    document = create_app(Settings()).openapi()
    by_tag: defaultdict[str, list[str]] = defaultdict(list)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["other"])[0]
            by_tag[tag].append(_operation(method, path, operation, document["components"]["schemas"]))
    intro = (
        "# API reference\n\nFrom `/openapi.json`, which every server has. Operation ids are stable. "
        "`API` in the examples is `http://127.0.0.1:8000`.\n\n"
    )
    index = "".join(
        f"* [{tag}]({tag}.md): {len(parts)} operations\n" for tag, parts in sorted(by_tag.items())
    )
    pages = {f"api/{tag}.md": f"# {tag}\n\n" + "\n".join(parts) for tag, parts in by_tag.items()}
    return {"api/index.md": intro + index} | pages


def _operation(method: str, path: str, operation: Json, schemas: Json) -> str:
    parameters = [
        f"* `{item['name']}` ({item['in']}{', required' if item.get('required') else ''})"
        + (f": {' '.join(item['description'].split())}" if item.get("description") else "")
        for item in operation.get("parameters", [])
    ]
    statuses = [f"* {status}: {answer['description']}" for status, answer in operation["responses"].items()]
    blocks = [
        f"## {operation['operationId']}",
        f"`{method.upper()} {path}`: {operation.get('summary', '')}",
        operation.get("description", ""),
        "\n".join(parameters),
        f"```sh\n{_example(method, path, operation, schemas)}\n```",
        "\n".join(statuses),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _example(method: str, path: str, operation: Json, schemas: Json) -> str:
    address = re.sub(r"\{(\w+)\}", lambda match: "$" + match[1].upper(), path)
    call = f'curl -s -X {method.upper()} "$API{address}"'
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        if kind.endswith("json"):
            body = json.dumps(sample(schema, schemas), ensure_ascii=False)
            return f"{call} \\\n  -H 'Content-Type: {kind}' \\\n  -d '{body}'"
        if kind == "multipart/form-data":
            return call + "".join(f" \\\n  -F {name}=..." for name in _required(schema, schemas))
    return call


def _required(schema: Json, schemas: Json) -> list[str]:
    resolved = _resolve(schema, schemas)
    return list(resolved.get("required", [])) or list(resolved.get("properties", {}))[:1]


def sample(schema: Json, schemas: Json, depth: int = 0) -> Any:
    """A value of the schema: its example, its default, or its required members."""
    schema = _resolve(schema, schemas)
    given = [schema[key] for key in ("example", "const", "default") if key in schema]
    if given := [*given, *schema.get("examples", []), *schema.get("enum", [])]:
        return given[0]
    options = next((schema[key] for key in ("anyOf", "oneOf", "allOf") if key in schema), None)
    if options:
        return sample(options[0], schemas, depth)
    match schema.get("type"):
        case "object":
            return _sample_object(schema, schemas, depth)
        case "array":
            return [] if depth >= _DEPTH else [sample(schema.get("items", {}), schemas, depth + 1)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return "..."


def _sample_object(schema: Json, schemas: Json, depth: int) -> Json:
    if depth >= _DEPTH:
        return {}
    properties = schema.get("properties", {})
    return {name: sample(properties.get(name, {}), schemas, depth + 1) for name in schema.get("required", [])}


def _resolve(schema: Json, schemas: Json) -> Json:
    while reference := schema.get("$ref"):
        schema = schemas[reference.rpartition("/")[2]]
    return schema
