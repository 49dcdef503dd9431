"""Uploads that come slowly are cut, hold no thread, and leave nothing; those at once have so many places."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException

from app.core.places import Places
from app.main import create_app
from app.middleware import BodyDeadline
from app.registry import reading as model_reading
from tests.app.conftest import Api, make_settings
from tests.app.serving import serving
from tests.conftest import empty_tables

HEAD = (
    "POST /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: multipart/form-data; boundary=x\r\n"
    "content-length: {length}\r\n\r\n"
)
PART = b'--x\r\ncontent-disposition: form-data; name="file"; filename="m.zip"\r\n\r\n'


@pytest.fixture
def api(tmp_path: Path, sqlite_url: str) -> Iterator[tuple[Api, int]]:
    """With little patience, and one thread."""
    settings = make_settings(
        tmp_path,
        database_url=sqlite_url,
        loopback_without_key=True,
        request_threads=1,
        upload_timeout=timedelta(seconds=5),
        upload_stall=timedelta(seconds=0.2),
        min_upload_rate_bytes=10_000,
    )
    app = create_app(settings)
    with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        api = Api(http, app)
        empty_tables(api.database)
        yield api, port


def begun(port: int, *, length: int = 10_000_000, content: bytes = b"") -> socket.socket:
    """An upload of which a part was sent."""
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(HEAD.format(length=length).encode() + PART + content)
    return client


def answer(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    chunks = []
    while chunk := client.recv(2**16):
        chunks.append(chunk)
    return b"".join(chunks)


def test_one_that_stops_is_cut(api):
    running, port = api
    with closing(begun(port, content=bytes(2_000_000))) as client:
        said = answer(client)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"urn:squeeze:problem:request_timeout" in said
    assert running.stored() == []
    assert running.rows()["models"] == 0


def test_one_that_trickles_is_cut(api):
    """Something comes all the time, and too little of it."""
    _, port = api
    with closing(begun(port)) as client:
        client.settimeout(0.02)
        sent = 0
        while True:
            try:
                said = client.recv(2**16)
                break
            except TimeoutError:
                client.sendall(b"x")
                sent += 1
    assert said.startswith(b"HTTP/1.1 408 ")
    assert sent > 1


@pytest.mark.parametrize(("chunk_bytes", "is_cut"), [(2_000, False), (1_000, True)])
def test_waiting_is_made_up_for(monkeypatch, chunk_bytes, is_cut):
    """A chunk every 0.15 s, which is all that may be waited for where chunks are too small."""
    clock = [0.0]
    monkeypatch.setattr("app.middleware.time.monotonic", lambda: clock[0])

    async def receive():
        clock[0] += 0.15
        for _ in range(5):
            await asyncio.sleep(0)
        return {"type": "http.request", "body": bytes(chunk_bytes), "more_body": clock[0] < 10}

    async def read_all(_scope, receive, _send):
        while (await receive())["more_body"]:
            pass

    app = BodyDeadline(read_all, whole_s=20, stall_s=0.2, min_bytes_per_s=10_000)
    reading = app({"type": "http"}, receive, None)
    if not is_cut:
        asyncio.run(reading)
        return
    with pytest.raises(HTTPException) as error:
        asyncio.run(reading)
    assert error.value.status_code == 408


def test_json_has_a_deadline_too(api):
    _, port = api
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as client:
        client.sendall(
            b"POST /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"content-length: 100\r\n\r\n{"
        )
        assert answer(client).startswith(b"HTTP/1.1 408 ")


def test_none_holds_a_thread(tmp_path, sqlite_url):
    """Each has begun to be written to disk, which is where a thread is needed for a moment."""
    settings = make_settings(tmp_path, database_url=sqlite_url, loopback_without_key=True, request_threads=1)
    with serving(create_app(settings)) as port, ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(closing(begun(port, content=bytes(2_000_000))))
        assert httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=60).status_code == 200


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Uploads are read until the second event is set; the first says that one is."""
    has_begun, may_end = threading.Event(), threading.Event()
    read_upload = model_reading.read_upload

    def read_slowly(*args, **kwargs):
        has_begun.set()
        may_end.wait(60)
        return read_upload(*args, **kwargs)

    monkeypatch.setattr(model_reading, "read_upload", read_slowly)
    yield has_begun, may_end
    may_end.set()


def test_all_places_are_taken(api, reading, encoder_archive):
    running, _ = api
    has_begun, may_end = reading
    running.app.state.uploads = Places(1, what="uploads are being read", patience_s=0.1)
    answers = []
    first = threading.Thread(target=lambda: answers.append(running.upload_model(encoder_archive)))
    first.start()
    assert has_begun.wait(60)
    refused = running.upload_model(encoder_archive)
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:squeeze:problem:server_busy"
    assert int(refused.headers["retry-after"]) > 0
    assert running.http.get("/v1/models").json()["data"] == []  # the only thread of requests is free
    may_end.set()
    first.join(60)
    assert answers[0].status_code == 201
    assert running.upload_model(encoder_archive).status_code == 201


def test_files_that_no_data_set_has(api):
    running, _ = api
    response = running.http.post("/v1/datasets", files=[("train", (f"{n}.csv", b"a")) for n in range(5)])
    assert response.status_code == 400
    assert "Maximum number of files is 4" in response.json()["detail"]
