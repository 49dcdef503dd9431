"""What descriptions say is what the code does: they name each choice, and state no default of their own."""

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.domain.documents import TrainingSpec
from app.domain.methods import METHOD_SPECS, DistillationTerms
from app.domain.methods.pea_kd import TEMPERATURE_OF_TWO
from app.domain.methods.terms import default_temperature
from app.domain.planning import with_epochs
from app.domain.tasks import TASKS
from tests.domain.planning.teachers import method


def settings_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if name != "name":
            yield f"{model.__name__}.{name}", field
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from settings_of(kind)


SETTINGS = {
    name: field for model in (*METHOD_SPECS.values(), TrainingSpec) for name, field in settings_of(model)
}


def choices(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    for part in get_args(annotation):
        yield from choices(part)


@pytest.mark.parametrize("name", [name for name in SETTINGS if list(choices(SETTINGS[name].annotation))])
def test_each_choice_is_named(name):
    field = SETTINGS[name]
    if name == "TrainingSpec.metric":
        return  # which there are depends on the task; a refusal lists them
    for choice in choices(field.annotation):
        assert re.search(rf"\b{choice}\b", field.description or ""), choice


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_is_stated_only_where_the_schema_does_not_show_it(name):
    field = SETTINGS[name]
    if "default:" in (field.description or ""):
        assert field.default is None


def test_the_start_of_a_gate():
    [gate] = [field for name, field in SETTINGS.items() if name == "Gate.initial_logit"]
    assert re.findall(r"-?\d+", gate.description or "") == ["4", "-4", "4"]
    assert gate.default == 4


@pytest.mark.parametrize(("labels", "usual", "pea_kd"), [(2, 2.0, 10.0), (3, 1.0, 5.0), (20, 1.0, 1.0)])
def test_temperatures(labels, usual, pea_kd):
    assert default_temperature(labels) == usual
    assert default_temperature(labels, of_two=TEMPERATURE_OF_TWO) == pea_kd
    assert "2 / (labels - 1), at least 1" in (DistillationTerms.model_fields["temperature"].description or "")
    spec = type(method("pea_kd"))
    assert "10 / (labels - 1), at least 1" in (spec.model_fields["distillation"].description or "")


def test_epochs():
    training = with_epochs(TrainingSpec(), rows=1000, labels=2)
    description = TrainingSpec.model_fields["max_epochs"].description or ""
    assert "default: twice `epochs` where those are chosen by the service, otherwise `epochs`" in description
    assert training.epochs is not None
    assert training.max_epochs == 2 * training.epochs
    assert with_epochs(TrainingSpec(epochs=3), rows=1000, labels=2).max_epochs == 3


def test_label_smoothing():
    description = TrainingSpec.model_fields["label_smoothing"].description or ""
    smoothed = {name for name, record in TASKS.items() if record.label_smoothing}
    assert {name for name in TASKS if name in description} == smoothed
