"""What keys and projects may use, and how clients are told that it is used up."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from app.auth.limits import RequestLimits
from app.core.db.jobs import Job
from app.core.db.models import Model
from app.core.db.projects import Project
from app.core.db.usage import usage_of
from app.domain.job_states import JobStatus
from tests.app.auth.conftest import OTHER_PROJECT, Headers
from tests.app.conftest import Api
from tests.app.jobs.shelf import ENCODER, add_dataset, add_model

Limit = Callable[..., None]


@pytest.fixture
def limit(closed_api: Api) -> Iterator[Limit]:
    """Sets limits of the other project for the length of a test."""

    def write(**values: int | None) -> None:
        with closed_api.database.transaction() as session:
            project = session.get(Project, OTHER_PROJECT)
            for name, value in values.items():
                setattr(project, name, value)

    yield write
    write(**{name: None for name in vars(Project) if name.startswith("max_")})


@pytest.fixture
def key(new_key) -> Headers:
    return new_key("admin", project=OTHER_PROJECT)


@pytest.fixture
def shelf(closed_api: Api) -> Any:
    """Where the other project's models and data sets are put."""
    return SimpleNamespace(database=closed_api.database.of(OTHER_PROJECT))


def test_limits_are_set_and_shown(closed_api, new_key):
    operator = new_key("admin")
    body = {"name": "limited", "limits": {"max_queued_jobs": 3, "max_stored_bytes": 10**12}}
    project = closed_api.http.post("/v1/projects", json=body, headers=operator).json()
    assert project["limits"]["max_queued_jobs"] == 3
    path = f"/v1/projects/{project['id']}"
    changed = closed_api.http.patch(path, json={"limits": {"max_queued_jobs": None}}, headers=operator)
    assert changed.json()["limits"] == project["limits"] | {"max_queued_jobs": None}
    shown = closed_api.http.get(path, headers=operator).json()
    assert shown["limits"] == changed.json()["limits"]
    assert shown["usage"] == {"stored_bytes": 0, "queued_jobs": 0, "running_jobs": 0, "predictions_today": 0}


def test_limits_are_the_operators_to_set(closed_api, key):
    body = {"limits": {"max_queued_jobs": None}}
    response = closed_api.http.patch(f"/v1/projects/{OTHER_PROJECT}", json=body, headers=key)
    assert response.status_code == 403
    assert response.json()["type"] == "urn:squeeze:problem:operator_required"


class TestRequests:
    @pytest.fixture
    def clock(self, closed_api, monkeypatch) -> list[float]:
        now = [1000.0]
        monkeypatch.setattr(closed_api.app.state.guard, "limits", RequestLimits(clock=lambda: now[0]))
        return now

    def test_are_counted_down_and_refused(self, closed_api, key, limit, clock):
        limit(max_requests_per_minute=3)
        for left in (2, 1, 0):
            response = closed_api.http.get("/v1/models", headers=key)
            assert response.status_code == 200
            assert response.headers["ratelimit-policy"] == '"requests";q=3;w=60'
            assert response.headers["ratelimit"] == f'"requests";r={left};t={60 - 20 * left}'
        refused = closed_api.http.get("/v1/models", headers=key)
        assert refused.status_code == 429
        assert refused.json()["type"] == "urn:squeeze:problem:rate_limit_exceeded"
        assert refused.json()["violated-policies"] == ["requests"]
        assert refused.headers["retry-after"] == "20"
        assert refused.headers["ratelimit"] == '"requests";r=0;t=60'
        clock[0] += 20
        assert closed_api.http.get("/v1/models", headers=key).status_code == 200
        assert closed_api.http.get("/v1/models", headers=key).status_code == 429

    def test_of_each_key_alone(self, closed_api, new_key, limit, clock):
        limit(max_requests_per_minute=1)
        first, second = (new_key("read", project=OTHER_PROJECT) for _ in range(2))
        statuses = [closed_api.http.get("/v1/models", headers=k).status_code for k in (first, first, second)]
        assert statuses == [200, 429, 200]

    def test_count_those_that_are_refused_for_their_scope(self, closed_api, new_key, limit, clock):
        limit(max_requests_per_minute=1)
        reader = new_key("read", project=OTHER_PROJECT)
        statuses = [closed_api.http.delete(f"/v1/models/mdl_{'0' * 26}", headers=reader) for _ in range(2)]
        assert [response.status_code for response in statuses] == [403, 429]

    def test_without_a_limit_nothing_is_said(self, closed_api, key):
        assert "ratelimit" not in closed_api.http.get("/v1/models", headers=key).headers

    def test_of_many_keys_are_bounded(self):
        counting = RequestLimits(size=2, clock=lambda: 1000.0)
        for name in "abc":
            counting.take(name, 5)
        assert counting.take("c", 5).left == 3
        assert counting.take("a", 5).left == 4, "its bucket was the oldest: it is full again"


class TestStorage:
    def test_an_upload_that_does_not_fit(self, closed_api, key, limit, dataset_files):
        before = closed_api.stored()
        limit(max_stored_bytes=100)
        files = {split: path.read_bytes() for split, path in dataset_files.items()}
        refused = closed_api.http.post(
            "/v1/datasets", files={k: ("t.jsonl", v) for k, v in files.items()}, headers=key
        )
        problem = refused.json()
        assert refused.status_code == 403
        assert problem["type"] == "urn:squeeze:problem:storage_quota_exceeded"
        assert problem["added_bytes"] > problem["max_stored_bytes"] == 100
        assert closed_api.stored() == before

    def test_is_counted_as_it_comes_and_goes(self, closed_api, key, limit, dataset_files):
        def used() -> int:
            return closed_api.http.get(f"/v1/projects/{OTHER_PROJECT}", headers=key).json()["usage"][
                "stored_bytes"
            ]

        def upload():
            files = {split: ("t.jsonl", path.read_bytes()) for split, path in dataset_files.items()}
            return closed_api.http.post("/v1/datasets", files=files, headers=key)

        before = used()
        dataset = upload().json()
        assert used() == before + dataset["size_bytes"]
        limit(max_stored_bytes=used() + dataset["size_bytes"] - 1)
        assert upload().status_code == 403
        limit(max_stored_bytes=used())
        refused = upload()
        assert (refused.status_code, refused.json()["added_bytes"]) == (403, 0), "before the tables are read"
        assert closed_api.http.delete(f"/v1/datasets/{dataset['id']}", headers=key).status_code == 204
        assert used() == before
        limit(max_stored_bytes=before + dataset["size_bytes"])
        second = upload()
        assert second.status_code == 201
        closed_api.http.delete(second.headers["location"], headers=key)

    def test_of_what_a_job_adds_to_its_teacher(self, closed_api, shelf):
        model_id = add_model(shelf, ENCODER, None)
        entry = {"sha256": "0" * 64, "size_bytes": 1000}
        with closed_api.database.of(OTHER_PROJECT).transaction() as session:
            before = usage_of(session).stored_bytes
            model = session.get(Model, model_id)
            files = {"prefix": "x", "entries": {"a": entry, "b": entry}}
            model.manifest_json = model.manifest_json | {"files": files}
        with closed_api.database.of(OTHER_PROJECT).transaction() as session:
            assert usage_of(session).stored_bytes == before + 2000
            session.delete(session.get(Model, model_id))


class TestQueuedJobs:
    @pytest.fixture
    def body(self, shelf) -> dict[str, Any]:
        teacher, dataset = (
            add_model(shelf, ENCODER, "text_classification"),
            add_dataset(shelf, "text_classification"),
        )
        method = {"name": "weight_copy"}
        return {"teacher": teacher, "dataset": dataset, "method": method, "target": {"compression_ratio": 2}}

    def test_are_limited(self, closed_api, key, limit, body):
        limit(max_queued_jobs=1)
        queued = closed_api.http.post("/v1/jobs", json=body, headers=key | {"idempotency-key": "first"})
        assert queued.status_code == 202
        refused = closed_api.http.post("/v1/jobs", json=body, headers=key)
        assert refused.status_code == 429
        assert refused.json()["type"] == "urn:squeeze:problem:job_quota_exceeded"
        assert refused.json()["queued_jobs"] == refused.json()["max_queued_jobs"] == 1
        assert int(refused.headers["retry-after"]) == 60
        again = closed_api.http.post("/v1/jobs", json=body, headers=key | {"idempotency-key": "first"})
        assert again.status_code == 202, "it asks for nothing new"
        closed_api.http.post(f"{queued.headers['location']}/cancel", headers=key)
        more = closed_api.http.post("/v1/jobs", json=body, headers=key)
        assert more.status_code == 202
        closed_api.http.post(f"{more.headers['location']}/cancel", headers=key)

    def test_need_room_for_their_student(self, closed_api, key, limit, body):
        limit(max_stored_bytes=0)
        response = closed_api.http.post("/v1/jobs", json=body, headers=key)
        assert response.json()["type"] == "urn:squeeze:problem:storage_quota_exceeded"


def test_usage_counts_jobs_by_status(closed_api, shelf):
    with closed_api.database.of(OTHER_PROJECT).transaction() as session:
        before = usage_of(session)
        job = Job(spec={}, dataset_id="d", method="scratch", status_text=JobStatus.RUNNING.value)
        session.add(job)
        session.flush()
        assert usage_of(session).running_jobs == before.running_jobs + 1
        session.delete(job)
