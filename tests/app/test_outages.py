"""What the service depends on is away, frozen or full: an answer soon that says so, and one line logged."""

import logging
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import GenericError
from sqlalchemy import event

from tests.app.conftest import Api, make_settings, run_api
from tests.processes import frozen, postgres_pid, wait_until

NO_ROOM = "Generic LocalFileSystem error: Unable to copy data to file: No space left on device (os error 28)"


@pytest.fixture
def impatient(tmp_path: Path, postgres_url: str) -> Iterator[Api]:
    timeout = {"database_timeout": timedelta(seconds=1.5)}
    yield from run_api(make_settings(tmp_path, database_url=postgres_url, **timeout))


@pytest.fixture
def alone(tmp_path: Path, sqlite_url: str) -> Iterator[Api]:
    yield from run_api(make_settings(tmp_path, database_url=sqlite_url))


def logged(caplog: pytest.LogCaptureFixture, words: str) -> int:
    """How many errors were logged with these words; there is no traceback among them all."""
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not any(record.exc_info for record in errors)
    return sum(words in record.getMessage() for record in errors)


def test_a_frozen_database(impatient, caplog):
    http = impatient.http
    assert http.get("/v1/jobs").status_code == 200
    with frozen(postgres_pid(impatient.database.engine)):
        job = "/v1/jobs/job_00000000000000000000000000"
        for path in ("/v1/jobs", job, "/v1/models", f"{job}/events", "/metrics") * 4:
            response = http.get(path)
            assert response.status_code == 503
            assert response.json()["type"].endswith("database_unavailable")
            assert int(response.headers["retry-after"]) > 0
        assert http.get("/healthz").status_code == 200
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()["failing"]) == (503, ["database"])
        assert ready.json()["database"] == "not responding"
        assert [ready.json()[name] for name in ("broker", "store", "disk")] == ["none", "ok", "ok"]
        assert http.get("/readyz", params={"exclude": "database"}).json()["status"] == "ready"
    wait_until(lambda: http.get("/v1/jobs").status_code == 200)
    assert logged(caplog, "the database is unavailable") == 1


def test_a_store_that_does_not_answer(tmp_path, sqlite_url, encoder_archive, caplog, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        store = {"storage_url": "s3://bucket", "s3_endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        quick = {"storage_timeout": timedelta(seconds=0.1)}
        for api in run_api(make_settings(tmp_path, database_url=sqlite_url, **store, **quick)):
            for _ in range(2):
                response = api.upload_model(encoder_archive)
                assert response.status_code == 503
                assert response.json()["type"].endswith("storage_unavailable")
                assert int(response.headers["retry-after"]) > 0
            assert api.http.get("/readyz").json()["store"] == "not responding"
            assert api.http.get("/v1/models").json()["data"] == []
    assert logged(caplog, "the store is unavailable") == 1


class TestFull:
    def test_a_store(self, alone, encoder_archive, caplog, monkeypatch):
        def put(*_: object) -> None:
            raise GenericError(NO_ROOM)

        monkeypatch.setattr(obstore, "put", put)
        response = alone.upload_model(encoder_archive)
        assert response.status_code == 507
        assert response.json()["type"].endswith("insufficient_storage")
        assert alone.http.get("/readyz").json()["store"] == "full"
        assert logged(caplog, "the store is full") == 1

    def test_a_database(self, alone, encoder_archive, caplog):
        with alone.database.own_connection() as connection:
            connection.exec_driver_sql("VACUUM")
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

        def limit(connection, *_):
            connection.execute(f"PRAGMA max_page_count = {pages}")

        event.listen(alone.database.engine, "checkout", limit)
        statuses = [alone.upload_model(encoder_archive).status_code for _ in range(6)]
        assert set(statuses) == {201, 507}
        assert alone.http.get("/readyz").json()["database"] == "full"
        assert alone.http.get("/v1/models").status_code == 200
        assert logged(caplog, "the database is full") == 1

    def test_a_disk(self, tmp_path, sqlite_url):
        for api in run_api(make_settings(tmp_path, database_url=sqlite_url, min_free_bytes=2**60)):
            ready = api.http.get("/readyz")
            assert (ready.status_code, ready.json()["disk"]) == (503, "full")


def test_files_of_a_deleted_model_that_the_store_keeps(alone, encoder_archive, monkeypatch, caplog):
    """The row is gone, and the answer says so."""
    model = alone.upload_model(encoder_archive).json()["id"]

    def delete(*_: object) -> None:
        raise GenericError("no answer")

    monkeypatch.setattr(obstore, "delete", delete)
    assert alone.http.delete(f"/v1/models/{model}").status_code == 204
    assert alone.http.get(f"/v1/models/{model}").status_code == 404
    assert "after commit failed: no answer" in caplog.text
