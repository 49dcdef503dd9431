"""Bodies are read as they are described: a boolean is no number, and a text neither of them."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.projects.schemas import KeyRotate
from tests.app.test_openapi import describe

DOCUMENT = describe()
WRONG = {"integer": (True, "1"), "number": (True, "1"), "boolean": (1, "true"), "date-time": (0, "0")}


def request_schemas() -> dict[str, Any]:
    """By name, those that a request's body is made of."""
    pending: list[Any] = [
        operation.get("requestBody") for path in DOCUMENT["paths"].values() for operation in path.values()
    ]
    found: dict[str, Any] = {}
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found[name] = DOCUMENT["components"]["schemas"][name]
                pending.append(found[name])
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return found


def models(parent: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for model in parent.__subclasses__():
        yield model
        yield from models(model)


def typed_fields() -> Iterator[tuple[type[BaseModel], str, str]]:
    schemas = request_schemas()
    ours = [model for model in models() if model.__module__.startswith("app.")]  # all of a form is text
    for model in {model.__name__: model for model in ours if model.__name__ in schemas}.values():
        for name, schema in schemas[model.__name__].get("properties", {}).items():
            for choice in schema.get("anyOf", [schema]):
                kind = choice.get("format") or choice.get("type")
                if kind in WRONG:
                    yield model, name, kind


@pytest.mark.parametrize(
    ("model", "field", "kind"),
    list(typed_fields()),
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_value_of_another_type_is_refused(model: type[BaseModel], field: str, kind: str):
    for value in WRONG[kind]:
        with pytest.raises(ValidationError) as refused:
            model.model_validate({field: value})
        assert field in [fault["loc"][0] for fault in refused.value.errors() if fault["loc"]]


def test_all_bodies_are_looked_at():
    found = {model.__name__ for model, _, _ in typed_fields()}
    assert {"KeyCreate", "KeyRotate", "ProjectLimits", "TrainingSpec", "Target", "EncoderShape"} <= found
    assert {"WebhookCreate", "SecretRotate", "FillMaskParameters", "JobSpec", "BiLstmSpec"} <= found


def test_a_whole_number_is_an_integer_however_it_is_written():
    assert KeyRotate.model_validate({"overlap_s": 60.0}).overlap_s == 60
    with pytest.raises(ValidationError):
        KeyRotate.model_validate({"overlap_s": 60.5})
