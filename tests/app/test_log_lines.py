"""One line in the log for each thing that goes wrong, however many requests meet it."""

import logging
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest
from obstore.exceptions import GenericError

from app.core.places import Places
from app.core.storage import Storage
from app.domain.errors import Unavailable
from app.main import create_app
from tests.app.conftest import Api, make_settings, run_api
from tests.app.serving import serving
from tests.processes import wait_until


@pytest.fixture
def api(tmp_path, sqlite_url) -> Iterator[Api]:
    """The app without a broker."""
    yield from run_api(make_settings(tmp_path, database_url=sqlite_url))


def problems(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged above INFO, none of it with a traceback."""
    records = [record for record in caplog.records if record.levelno > logging.INFO]
    assert not any(record.exc_info for record in records)
    return [record.getMessage() for record in records]


def test_probes_that_fail_log_an_outage_when_it_begins_and_when_it_ends(api, monkeypatch, caplog):
    def check(_: Storage) -> None:
        raise GenericError("connection refused")

    caplog.set_level(logging.INFO)
    api.app.state.outages.quiet_s = 0  # probes come further apart than that
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Storage, "check", check)
            for _ in range(3):
                assert api.http.get("/readyz").json()["failing"] == ["store"]
        assert api.http.get("/readyz").status_code == 200
    assert problems(caplog) == ["the store is unavailable: connection refused"] * 2
    assert caplog.messages.count("the store is available again") == 2


def test_a_busy_server_is_logged_now_and_then(api, encoder_archive, monkeypatch, caplog):
    async def run(*_: object) -> None:
        raise Unavailable("server_busy", "4 uploads are being read, as many as are at once.")

    monkeypatch.setattr(Places, "run", run)
    for _ in range(3):
        assert api.upload_model(encoder_archive).status_code == 503
    assert len(problems(caplog)) == 1


class TestDownloads:
    """Over a real server, which has its own ways with what it does not expect."""

    @pytest.fixture
    def download(self, tmp_path, sqlite_url, encoder_archive) -> Iterator[Callable[[], socket.socket]]:
        app = create_app(make_settings(tmp_path, database_url=sqlite_url))
        with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            model = Api(http, app).upload_model(encoder_archive).json()["id"]

            def begin() -> socket.socket:
                connection = socket.create_connection(("127.0.0.1", port), timeout=20)
                path = f"/v1/models/{model}/artifacts/model.safetensors"
                connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
                return connection

            yield begin

    def test_a_store_that_breaks_off(self, download, monkeypatch, caplog):
        def stream(*_: object) -> Iterator[bytes]:
            yield b"the first bytes"
            raise GenericError("connection reset\nand more that helps nobody")

        monkeypatch.setattr(Storage, "stream", stream)
        with download() as connection, connection.makefile("rb") as response:
            received = response.read()  # until the server closes the connection
        assert received.endswith(b"the first bytes")
        [line] = problems(caplog)
        assert "artifacts/model.safetensors 200 broke off after" in line
        assert line.endswith("connection reset")

    def test_a_file_that_is_shorter_than_its_row_says(self, download, monkeypatch, caplog):
        monkeypatch.setattr(Storage, "stream", lambda *_: iter([b"short"]))
        with download() as connection, connection.makefile("rb") as response:
            assert response.read().endswith(b"short")
        [line] = problems(caplog)
        assert "broke off" in line

    def test_a_client_that_leaves(self, download, monkeypatch, caplog):
        size_bytes = sent = 0

        def slowly(storage: Storage, key: str) -> Iterator[bytes]:
            nonlocal size_bytes, sent
            content = b"".join(stream(storage, key))
            size_bytes = len(content)
            for sent in range(size_bytes):
                yield content[sent : sent + 1]

        caplog.set_level(logging.INFO)
        stream = Storage.stream
        monkeypatch.setattr(Storage, "stream", slowly)
        with download() as connection:
            connection.recv(100)
        wait_until(lambda: any("model.safetensors 200 in" in message for message in caplog.messages))
        assert sent < size_bytes - 1
        assert problems(caplog) == []
