"""A row that this version cannot read says so, and keeps nobody from the others."""

from typing import Any

import pytest
from sqlalchemy import text

from app.core.db import DEFAULT_PROJECT
from app.core.db.jobs import JobEvent, append_event
from app.domain.documents.events import Message
from tests.app.conftest import Api
from tests.app.jobs.shelf import ENCODER, add_dataset, add_model

LATER = '{"version": 99, "anything": []}'
ODD = {
    "later": LATER,
    "no object": "[]",
    "null": "null",
    "empty": "{}",
    "a later method": '{"version": 2, "method": {"name": "quantum_squeezing"}}',
    "another form": '{"version": 2, "target": 3}',
}


def overwrite(api: Api, table: str, id_: str, column: str, value: str) -> None:
    statement = f"UPDATE {table} SET {column} = :value WHERE id = :id"
    if column not in ("status", "origin") and api.database.engine.dialect.name == "postgresql":
        statement = statement.replace(":value", "CAST(:value AS jsonb)")
    with api.database.transaction() as session:
        session.execute(text(statement), {"value": value, "id": id_})


@pytest.fixture
def shelf(api_on_both: Api) -> Api:
    return api_on_both


def queue_jobs(api: Api, count: int) -> list[str]:
    body = {
        "teacher": add_model(api, ENCODER, "text_classification"),
        "dataset": add_dataset(api, "text_classification"),
        "method": {"name": "weight_copy"},
        "target": {"compression_ratio": 2},
    }
    created = [api.http.post("/v1/jobs", json=body) for _ in range(count)]
    return [response.json()["id"] for response in created]


def shows(api: Api, path: str, odd: str, fine: str) -> dict[str, Any]:
    """The odd row's place in a list, beside one that is shown as ever."""
    response = api.http.get(path)
    assert response.status_code == 200, response.text
    rows = {row["id"]: row for row in response.json()["data"]}
    assert rows.keys() == {odd, fine}
    assert rows[fine] == api.http.get(f"{path}/{fine}").json()
    assert rows[fine]["object"] != "unreadable"
    problem = api.http.get(f"{path}/{odd}")
    assert problem.status_code == 500
    assert problem.json()["type"] == "urn:squeeze:problem:unreadable_row"
    assert problem.json()["id"] == odd
    assert odd in problem.json()["detail"]
    row = rows[odd]
    assert row["object"] == "unreadable"
    assert row["created_at"]
    assert row["error"] == {"code": "unreadable_row", "message": problem.json()["detail"]}
    return row


def test_the_later_version_is_named(shelf):
    odd, fine = (add_model(shelf, ENCODER, None) for _ in range(2))
    overwrite(shelf, "models", odd, "manifest_json", LATER)
    message = shows(shelf, "/v1/models", odd, fine)["error"]["message"]
    assert "of version 99" in message
    assert "A later version of the service wrote it." in message


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_model(shelf, value):
    odd, fine = (add_model(shelf, ENCODER, None) for _ in range(2))
    overwrite(shelf, "models", odd, "manifest_json", value)
    shows(shelf, "/v1/models", odd, fine)


def test_a_model_s_metrics(shelf):
    odd, fine = (add_model(shelf, ENCODER, None) for _ in range(2))
    overwrite(shelf, "models", odd, "metrics", "[1]")
    assert "metrics" in shows(shelf, "/v1/models", odd, fine)["error"]["message"]


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_data_set(shelf, value):
    odd, fine = (add_dataset(shelf, "text_classification") for _ in range(2))
    overwrite(shelf, "datasets", odd, "manifest_json", value)
    shows(shelf, "/v1/datasets", odd, fine)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("spec", value) for value in ODD.values()),
        *(("report", value) for name, value in ODD.items() if name != "empty"),
        ("progress", "[]"),
        ("progress", '{"step": "many"}'),
        ("status", "paused"),
    ],
)
def test_a_job(shelf, column, value):
    odd, fine = queue_jobs(shelf, 2)
    overwrite(shelf, "jobs", odd, column, value)
    assert shows(shelf, "/v1/jobs", odd, fine)["status"] == ("paused" if column == "status" else "queued")
    metrics = shelf.http.get("/metrics")
    assert metrics.status_code == 200
    is_unknown = column == "status"
    assert f'squeeze_jobs{{project="{DEFAULT_PROJECT}",status="queued"}} {2.0 - is_unknown}' in metrics.text
    assert f'squeeze_jobs{{project="{DEFAULT_PROJECT}",status="unknown"}} {0.0 + is_unknown}' in metrics.text


def test_text_that_is_no_json(sqlite_url, redis_url, tmp_path):
    """SQLite does not look at what it stores."""
    from tests.app.conftest import make_settings, run_api

    for api in run_api(make_settings(tmp_path, database_url=sqlite_url, broker_url=redis_url)):
        odd, fine = (add_model(api, ENCODER, None) for _ in range(2))
        overwrite(api, "models", odd, "manifest_json", "{")
        shows(api, "/v1/models", odd, fine)


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_they_are_deleted_like_others(shelf, kind, tmp_path):
    """With their files where these are known, and never with those of others."""
    (tmp_path / "file").touch()
    for name in ("odd", "fine"):
        shelf.app.state.storage.put_file(f"{kind}/{name}/file", tmp_path / "file")
    named = {"later": f'{{"version": 99, "files": {{"prefix": "{kind}/odd"}}}}'}
    damaged = {"all": '{"files": {"prefix": ""}}', "a kind": f'{{"files": {{"prefix": "{kind}"}}}}'}
    for value in (*ODD.values(), *damaged.values(), *named.values()):
        assert sorted(shelf.stored()) == [f"{kind}/fine/file", f"{kind}/odd/file"]
        id_ = add_model(shelf, ENCODER, None) if kind == "models" else add_dataset(shelf, "translation")
        overwrite(shelf, kind, id_, "manifest_json", value)
        assert shelf.http.delete(f"/v1/{kind}/{id_}").status_code == 204
        assert shelf.http.get(f"/v1/{kind}/{id_}").status_code == 404
    assert shelf.stored() == [f"{kind}/fine/file"]


def test_an_event(shelf):
    [job_id] = queue_jobs(shelf, 1)
    with shelf.database.transaction() as session:
        session.add(JobEvent(job_id=job_id, seq=2, kind="artifact", data={"name": "model.onnx"}))
        session.add(JobEvent(job_id=job_id, seq=3, kind="message", data={"version": 99}))
        session.flush()
        append_event(session, job_id, Message(text="hello"))
    events = shelf.http.get(f"/v1/jobs/{job_id}/events").json()["data"]
    assert [event["error"] is None for event in events] == [True, False, False, True]
    assert "'artifact'" in events[1]["error"]["message"]
    assert "of version 99" in events[2]["error"]["message"]
    assert events[3]["data"] == {"level": "info", "text": "hello"}


def test_an_unreadable_teacher(shelf):
    """What needs the row is refused, and names it."""
    body = {
        "teacher": add_model(shelf, ENCODER, "text_classification"),
        "dataset": add_dataset(shelf, "text_classification"),
        "method": {"name": "weight_copy"},
        "target": {"compression_ratio": 2},
    }
    overwrite(shelf, "models", body["teacher"], "manifest_json", LATER)
    problem = shelf.http.post("/v1/plans", json=body).json()
    assert (problem["status"], problem["id"]) == (500, body["teacher"])


def test_cancelling_a_job_of_an_unknown_status(shelf):
    [job_id] = queue_jobs(shelf, 1)
    overwrite(shelf, "jobs", job_id, "status", "paused")
    response = shelf.http.post(f"/v1/jobs/{job_id}/cancel")
    assert response.status_code == 500
    assert "'paused'" in response.json()["detail"]
