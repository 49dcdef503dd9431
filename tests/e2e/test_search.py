"""A search over HTTP: from goals to a student that answers."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Stack

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("service", ["production"], indirect=True)
def test_from_goals_to_a_served_student(stack: Stack, tmp_path: Path):
    stack.have_workers(1)
    encoder, dataset = stack.upload(tmp_path)
    fine_tuned = stack.wait_for_end(stack.start_job(encoder, dataset, exports=["fp32"]))
    assert fine_tuned["status"] == "succeeded", stack.logs()
    method = {
        "name": "auto",
        "goals": {"retain": 0.5},
        "budget": {"trials": 3},
        "methods": ["distillation", "bilstm"],
    }
    search = stack.start_job(
        {"id": fine_tuned["student"]}, dataset, method, training={"epochs": 2}, exports=["fp32"]
    )
    search = stack.wait_for_end(search)
    assert (search["status"], search["error"]) == ("succeeded", None), stack.logs()
    found = search["search"]
    assert found["front"]
    assert found["best"] is not None, found
    best = found["trials"][found["best"]["trial"] - 1]
    assert search["student"] == best["student"]
    trials = stack.get(f"/v1/jobs?parent={search['id']}")["data"]
    assert {trial["id"] for trial in trials} == {trial["job"] for trial in found["trials"]}
    kept = {model["id"] for model in stack.get("/v1/models")["data"] if model["id"] != fine_tuned["student"]}
    front = {found["trials"][choice["trial"] - 1]["student"] for choice in found["front"]}
    assert front | {encoder["id"]} == kept
    assert stack.predict({"id": search["student"]}, ["a text"]).status_code == 200
    assert stack.get(f"/v1/jobs/{search['id']}/report")["comparison"] is not None
