"""Which jobs train controls beside their student."""

from typing import Any

import pytest

from app.domain.architectures import EncoderShape
from app.domain.documents import JobSpec
from app.domain.planning.controls import controls_of
from app.domain.planning.stages import CONTROLS
from tests.app.jobs.shelf import ENCODER, add_dataset, add_model
from tests.domain.planning.teachers import method

SMALL = {"shape": {"layers": 2, "hidden": 192, "heads": 6, "ffn": 768}}
STUDENT = ENCODER.at(EncoderShape(**SMALL["shape"]))


def body(api, task: str = "text_classification", **changes: Any) -> dict[str, Any]:
    ids = {"teacher": add_model(api, ENCODER, task), "dataset": add_dataset(api, task)}
    return ids | {"method": {"name": "weight_copy", "distillation": {}}, "target": SMALL} | changes


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (method("weight_copy", distillation={}), {"without_distillation": "weight_copy"}),
        (method("weight_copy"), {"from_scratch": "scratch"}),
        (method("distillation"), {"without_distillation": "weight_copy"}),
        (method("distillation", initialisation="random"), {"without_distillation": "scratch"}),
        (
            method("distillation", initialisation="weight_selection"),
            {"without_distillation": "weight_selection"},
        ),
        (method("weight_inherited", distillation={}), {"from_scratch": "scratch"}),
        (method("pea_kd"), {"from_scratch": "scratch"}),
        (method("scratch"), {}),
        (method("fine_tuning"), {}),
    ],
)
def test_the_student_is_trained_without_what_it_learns_of_its_teacher(asked, names):
    found = controls_of(asked, ENCODER, STUDENT)
    assert {name: spec.name for name, spec in found.items()} == names | {"tfidf": "tfidf"}
    assert not any(spec.learns_from_outputs for spec in found.values())


def test_a_control_has_none():
    assert controls_of(method("tfidf"), ENCODER, STUDENT) == {}


@pytest.mark.parametrize(
    ("asked", "stored"), [({}, True), ({"controls": True}, True), ({"controls": False}, False)]
)
def test_jobs_of_classification_train_them_unless_they_are_turned_off(api, asked, stored):
    given = body(api, **asked)
    job = api.http.post("/v1/jobs", json=given).json()
    assert job["controls"] is stored
    planned = [
        stage["stage"] for stage in api.http.post("/v1/plans", json=given).json()["estimate"]["stages"]
    ]
    assert (CONTROLS in planned) is stored


def test_other_tasks_have_none(api):
    given = body(api, "text_regression")
    assert api.http.post("/v1/jobs", json=given).json()["controls"] is None
    refusal = api.http.post("/v1/jobs", json=given | {"controls": True}).json()
    assert refusal["type"] == "urn:squeeze:problem:controls_not_supported_for_task"
    assert refusal["detail"] == (
        "Controls are trained for multi_label_classification and text_classification; the data set's task is "
        "text_regression. Omit controls."
    )
    assert refusal["errors"][0]["pointer"] == "#/controls"


def test_a_job_that_was_stored_before_there_were_controls_trains_none():
    stored = {"version": 2, "dataset": "dst_" + "0" * 26, "method": {"name": "tfidf"}}
    assert JobSpec.from_stored(stored, owner="job_1").controls is None
