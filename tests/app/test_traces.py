"""Requests as a collector of traces sees them."""

import json
import logging
from collections.abc import Iterator

import pytest

from app.core.db import DEFAULT_PROJECT
from app.core.db.jobs import get_job
from app.core.logging import configure_logging
from tests.app.conftest import Api, make_settings, run_api
from tests.collector import Collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def api(tmp_path, sqlite_url) -> Iterator[Api]:
    """The app without a broker."""
    yield from run_api(make_settings(tmp_path, database_url=sqlite_url))


def test_a_request(api: Api, collector: Collector):
    headers = {"traceparent": PARENT, "x-request-id": "req-1", "authorization": "Bearer hunter2"}
    api.http.get("/v1/models/mdl_private/artifacts/words?a=confidential", headers=headers)
    api.http.get("/v1/no/such/route")
    api.http.get("/readyz")
    spans = collector.spans()
    assert set(spans) == {"GET /v1/models/{model_id}/artifacts/{name:path}", "GET"}
    request = spans["GET /v1/models/{model_id}/artifacts/{name:path}"]
    assert (request.trace_id, request.parent_id, request.kind) == (TRACE, PARENT.split("-")[2], "SERVER")
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/models/{model_id}/artifacts/{name:path}",
        "http.response.status_code": 404,
        "squeeze.request_id": "req-1",
        "squeeze.project_id": DEFAULT_PROJECT,
    }
    assert not request.is_error
    sent = b"".join(collector.bodies)
    assert not any(text in sent for text in (b"hunter2", b"mdl_private", b"words", b"confidential", b"such"))


def test_the_log_of_a_request_names_its_trace(api: Api, collector: Collector, capsys):
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    configure_logging("json")
    try:
        api.http.get("/v1/workers", headers={"traceparent": PARENT})
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
    records = map(json.loads, capsys.readouterr().err.splitlines())
    [record] = [record for record in records if record["logger"] == "app.middleware"]
    assert (record["trace_id"], record["project_id"]) == (TRACE, DEFAULT_PROJECT)


def test_a_request_that_fails(api: Api, collector: Collector, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ValueError("confidential")

    monkeypatch.setattr("app.core.db.models.list_models", fail)
    assert api.http.get("/v1/models").status_code == 500
    request = collector.spans()["GET /v1/models"]
    assert (request.is_error, request.attributes["error.type"]) == (True, "ValueError")
    assert b"confidential" not in b"".join(collector.bodies)


def test_a_job_keeps_the_trace_of_its_request(api: Api, teacher: str, dataset: str, collector: Collector):
    body = {"teacher": teacher, "dataset": dataset, "method": {"name": "fine_tuning"}}
    job_id = api.http.post("/v1/jobs", json=body, headers={"traceparent": PARENT}).json()["id"]
    with api.database.of(DEFAULT_PROJECT).reading() as session:
        context = get_job(session, job_id).trace_context
    assert context == f"00-{TRACE}-{collector.spans()['POST /v1/jobs'].span_id}-01"
