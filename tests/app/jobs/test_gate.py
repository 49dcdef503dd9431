"""Which publish gates a job may have."""

from typing import Any

import pytest

from tests.app.jobs.shelf import ENCODER, add_dataset, add_model

SMALL = {"shape": {"layers": 2, "hidden": 192, "heads": 6, "ffn": 768}}


def asked(api, gate: dict[str, Any], *, task: str = "text_classification", method: str = "weight_copy"):
    body = {
        "teacher": add_model(api, ENCODER, task if method != "fine_tuning" else None),
        "dataset": add_dataset(api, task),
        "method": {"name": method},
        "gate": gate,
    }
    return api.http.post("/v1/jobs", json=body | ({} if method == "fine_tuning" else {"target": SMALL}))


def test_it_is_stored_with_the_job(api):
    job = asked(api, {"max_drop": 0.02, "min_agreement": 0.9}).json()
    gate = {"min_quality": None, "max_drop": 0.02, "min_agreement": 0.9}
    assert job["gate"] == gate
    assert api.http.get(f"/v1/jobs/{job['id']}").json()["gate"] == gate
    assert asked(api, {"min_quality": 0.9}, method="fine_tuning").status_code == 202


@pytest.mark.parametrize(
    ("gate", "options", "pointer", "told"),
    [
        ({"max_drop": 0}, {"method": "fine_tuning"}, "max_drop", "this job measures none"),
        ({"min_agreement": 0}, {"method": "fine_tuning"}, "min_agreement", "this job measures none"),
        (
            {"min_agreement": 0.5, "max_drop": 0.1},
            {"task": "masked_language_modeling"},
            "min_agreement",
            "not measured for masked_language_modeling",
        ),
    ],
)
def test_one_that_cannot_be_measured_is_refused(api, gate, options, pointer, told):
    response = asked(api, gate, **options)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (422, "urn:squeeze:problem:gate_not_measurable")
    assert told in problem["detail"]
    assert problem["errors"][0]["pointer"] == f"#/gate/{pointer}"
