"""What clients ask of a search, and see of it; how it goes on is in tests/worker/runner/test_searches.py."""

from typing import Any

import pytest

from app.core.db import DEFAULT_PROJECT
from app.core.db.jobs import Job
from app.core.db.usage import usage_of
from tests.app.jobs.shelf import ENCODER, add_dataset, add_model


def body(api, *, task: str = "text_classification", **method: Any) -> dict[str, Any]:
    ids = {"teacher": add_model(api, ENCODER, task), "dataset": add_dataset(api, task)}
    asked = {"name": "auto", "methods": ["distillation", "tfidf"], "budget": {"trials": 8}}
    return ids | {"method": asked | method}


def test_a_plan_gives_time_and_worker_minutes_before_it_starts(api):
    plan = api.http.post("/v1/plans", json=body(api)).json()
    assert plan["object"] == "search_plan"
    assert (plan["trials"], plan["full_runs"]) == (8, 2)
    assert {candidate["method"] for candidate in plan["candidates"]} == {"distillation", "tfidf"}
    longest = max(candidate["seconds"] for candidate in plan["candidates"]) / 60
    assert 0 < plan["worker_minutes"] < 10 * longest
    assert plan["minutes"] == plan["worker_minutes"], "no worker is there: one is counted with"


def test_minutes_bound_the_plan(api):
    plan = api.http.post("/v1/plans", json=body(api, budget={"minutes": 0.5})).json()
    assert (plan["minutes"], plan["worker_minutes"]) == (0.5, 0.5)


def test_a_search_is_a_job_with_goals_and_trials(api):
    job = api.http.post("/v1/jobs", json=body(api, goals={"retain": 0.97})).json()
    assert job["method"]["name"] == "auto"
    assert job["search"]["goals"]["retain"] == 0.97
    assert (job["search"]["trials"], job["search"]["front"], job["search"]["best"]) == ([], [], None)
    assert api.http.get(f"/v1/jobs/{job['id']}").json()["search"] == job["search"]


def test_trials_are_listed_under_their_search(api):
    asked = body(api)
    search = api.http.post("/v1/jobs", json=asked).json()["id"]
    with api.database.transaction() as session:
        parent = session.get(Job, search)
        spec = {**parent.spec, "method": {"name": "distillation"}, "target": {"compression_ratio": 4}}
        trial = Job(parent_id=search, spec=spec, dataset_id=parent.dataset_id, method="distillation")
        session.add(trial)
        session.flush()
    assert [job["id"] for job in api.http.get("/v1/jobs").json()["data"]] == [search]
    [listed] = api.http.get("/v1/jobs", params={"parent": search}).json()["data"]
    assert (listed["id"], listed["parent"]) == (trial.id, search)


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"target": {"compression_ratio": 4}}, "target_not_allowed", "#/target"),
        ({"teacher": None}, "teacher_required", "#/teacher"),
    ],
)
def test_what_a_search_needs_of_its_job(api, changes, code, pointer):
    response = api.http.post("/v1/jobs", json=body(api) | changes)
    assert response.status_code == 422
    problem = response.json()
    assert problem["type"] == f"urn:squeeze:problem:{code}"
    assert problem["errors"][0]["pointer"] == pointer


def test_goals_below_every_student_are_refused_with_the_smallest(api):
    asked = body(api, methods=["distillation"], goals={"max_parameters": 1000})
    problem = api.http.post("/v1/jobs", json=asked).json()
    assert problem["type"] == "urn:squeeze:problem:goals_too_small"
    assert problem["smallest_parameters"] > 1000
    assert problem["errors"][0]["pointer"] == "#/method/goals/max_parameters"


def test_methods_that_fit_nothing_are_refused(api):
    problem = api.http.post("/v1/jobs", json=body(api, methods=["fine_tuning"])).json()
    assert problem["type"] == "urn:squeeze:problem:nothing_to_search"
    problem = api.http.post("/v1/jobs", json=body(api, methods=["magic"])).json()
    assert "magic" in str(problem)


def test_only_a_search_has_something_to_keep(api):
    asked = body(api) | {"method": {"name": "distillation"}, "target": {"compression_ratio": 4}}
    job = api.http.post("/v1/jobs", json=asked).json()["id"]
    response = api.http.post(f"/v1/jobs/{job}/cancel", params={"keep": True})
    assert response.status_code == 422
    assert response.json()["type"] == "urn:squeeze:problem:keep_not_supported"


def test_a_search_that_waits_is_cancelled_at_once(api):
    job = api.http.post("/v1/jobs", json=body(api)).json()["id"]
    assert api.http.post(f"/v1/jobs/{job}/cancel").json()["status"] == "cancelled"


def test_its_trials_count_neither_as_queued_nor_itself_as_running(api):
    search = api.http.post("/v1/jobs", json=body(api)).json()["id"]
    with api.database.transaction() as session:
        parent = session.get(Job, search)
        parent.status_text = "running"
        session.add(Job(parent_id=search, spec=parent.spec, dataset_id=parent.dataset_id, method="tfidf"))
    with api.database.of(DEFAULT_PROJECT).reading() as session:
        usage = usage_of(session)
    assert (usage.queued_jobs, usage.running_jobs) == (0, 0)
