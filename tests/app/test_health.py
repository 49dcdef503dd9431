"""Liveness, readiness and metrics."""

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.jobs import Job
from tests.app.conftest import make_settings, run_api


def test_alive(api):
    assert api.http.get("/healthz").json() == {"status": "ok"}


def test_ready(api):
    states = dict.fromkeys(("database", "broker", "store", "disk"), "ok") | {"workers": "none"}
    assert api.http.get("/readyz").json() == {"status": "ready", **states}


def test_a_broker_that_is_away(tmp_path, postgres_url):
    settings = make_settings(tmp_path, database_url=postgres_url, broker_url="redis://127.0.0.1:1/0")
    for api in run_api(settings):
        response = api.http.get("/readyz")
        assert response.status_code == 503
        assert response.json()["failing"] == ["broker"]
        assert api.http.get("/healthz").status_code == 200


def test_a_store_that_is_away(tmp_path, sqlite_url, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    settings = make_settings(
        tmp_path, database_url=sqlite_url, storage_url="s3://bucket", s3_endpoint="http://127.0.0.1:1"
    )
    for api in run_api(settings):
        assert api.http.get("/readyz").json()["failing"] == ["store"]


def test_a_database_that_is_away(tmp_path, sqlite_url):
    for api in run_api(make_settings(tmp_path, database_url=sqlite_url)):
        api.app.state.database.dispose()
        api.app.state.database = Database("postgresql+psycopg://127.0.0.1:1/none")
        response = api.http.get("/readyz")
        assert response.status_code == 503
        assert response.json()["failing"] == ["database"]


def test_metrics(api):
    with api.database.transaction() as session:
        session.add(Job(spec={}, dataset_id="dst_any", method="scratch"))
    api.http.get("/v1/models/mdl_x")
    text = api.http.get("/metrics").text
    assert f'squeeze_jobs{{project="{DEFAULT_PROJECT}",status="queued"}} 1.0' in text
    labels = 'method="GET",project="prj_0",route="/v1/models/{model_id}",status="404"'
    labels = labels.replace("prj_0", DEFAULT_PROJECT)
    assert f"squeeze_http_requests_total{{{labels}}}" in text
    assert "mdl_x" not in text
    for dependency in ("database", "broker", "store", "disk"):
        assert f'squeeze_dependency_up{{dependency="{dependency}"}} 1.0' in text


def test_metrics_tell_of_a_broker_that_is_away(tmp_path, sqlite_url):
    settings = make_settings(tmp_path, database_url=sqlite_url, broker_url="redis://127.0.0.1:1/0")
    for api in run_api(settings):
        text = api.http.get("/metrics").text
        assert 'squeeze_dependency_up{dependency="broker"} 0.0' in text
        assert 'squeeze_dependency_up{dependency="database"} 1.0' in text


def test_requests_while_the_database_is_away(tmp_path, sqlite_url):
    for api in run_api(make_settings(tmp_path, database_url=sqlite_url)):
        api.app.state.database.dispose()
        api.app.state.database = Database("postgresql+psycopg://127.0.0.1:1/none")
        response = api.http.get("/v1/jobs")
        assert response.status_code == 503
        assert response.json()["type"] == "urn:squeeze:problem:database_unavailable"
        assert int(response.headers["retry-after"]) > 0
