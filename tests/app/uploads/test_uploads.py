"""Large files in parts: what tus clients send arrives, whatever breaks off on the way."""

import base64
import hashlib
import io
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tusclient.client import TusClient

from app.core.db.base import database_time
from app.core.db.uploads import Upload
from app.core.settings import Settings
from app.main import create_app
from tests.app.conftest import Api
from tests.app.serving import serving
from tests.processes import wait_until
from tests.tiny import tiny_dataset_files, tiny_model_folder, zipped
from worker.runner.cleaning import clean_up
from worker.runner.shutdown import Shutdown
from worker.runner.worker import Worker

TUS = {"tus-resumable": "1.0.0"}
PART = TUS | {"content-type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, sqlite_url: str) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("data")
    app = create_app(Settings(data_dir=folder, database_url=sqlite_url, max_upload_bytes=2**24))
    with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        yield Api(http, app)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return zipped(tiny_model_folder(tmp_path_factory.mktemp("model") / "model")).read_bytes()


def begin(api: Api, content: bytes, name: str = "file") -> str:
    """The path of a new upload."""
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    headers = TUS | {"upload-length": str(len(content)), "upload-metadata": metadata}
    created = api.http.post("/v1/uploads", headers=headers)
    assert created.status_code == 201, created.text
    return str(created.headers["location"])


def send(api: Api, path: str, content: bytes, *, offset: int = 0, **more: str) -> httpx.Response:
    return api.http.patch(path, content=content, headers=PART | {"upload-offset": str(offset)} | more)


def offset_of(api: Api, path: str) -> int:
    answer = api.http.head(path, headers=TUS)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    return int(answer.headers["upload-offset"])


def stored(api: Api) -> list[Path]:
    files = (api.app.state.settings.data_dir / "files").rglob("uploads/*/*")
    return [path for path in files if path.is_file()]


def test_a_model_from_a_tus_client(api: Api, archive: bytes) -> None:
    client = TusClient(str(api.http.base_url.join("/v1/uploads")))
    first = client.uploader(file_stream=io.BytesIO(archive), chunk_size=10_000, upload_checksum=True)
    first.upload(stop_at=20_000)
    second = client.uploader(file_stream=io.BytesIO(archive), chunk_size=10_000, url=first.url)
    assert second.offset == 20_000
    second.upload()
    upload_id = first.url.rpartition("/")[2]
    source = {"name": "model", "source": {"upload": upload_id}}
    created = api.http.post("/v1/models", json=source)
    assert created.status_code == 201, created.text
    assert created.json()["origin"] == "upload"
    assert stored(api) == []
    again = api.http.post("/v1/models", json=source)
    assert (again.status_code, again.json()["type"]) == (404, "urn:squeeze:problem:upload_not_found")


def test_a_data_set_of_uploads_and_files(api: Api, tmp_path: Path) -> None:
    files = tiny_dataset_files(tmp_path, train=20, dev=10)
    train = files["train"].read_bytes()
    path = begin(api, train, files["train"].name)
    uploads = f'{{"train": "{path.rpartition("/")[2]}"}}'
    form = {"task": "text_classification", "name": "d", "uploads": uploads}
    dev = {"dev": (files["dev"].name, files["dev"].read_bytes())}
    early = api.http.post("/v1/datasets", data=form, files=dev)
    assert early.json()["type"] == "urn:squeeze:problem:upload_incomplete"
    assert send(api, path, train).status_code == 204
    both = api.http.post("/v1/datasets", data=form, files=dev | {"train": (files["train"].name, train)})
    assert both.json()["errors"][0]["pointer"] == "#/uploads/train"
    created = api.http.post("/v1/datasets", data=form, files=dev)
    assert created.status_code == 201, created.text
    assert created.json()["splits"]["train"]["rows"] == 20
    assert api.http.head(path, headers=TUS).status_code == 404


def test_no_transaction_is_open_while_files_are_moved(
    api: Api, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database ends those that lie idle for seconds, and SQLite has one writer."""
    storage, moved = api.app.state.storage, []
    put_file = storage.put_file

    def put_if_others_can_write(key: str, path: Path) -> None:
        with closing(sqlite3.connect(str(api.database.engine.url.database), timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
        moved.append(key)
        put_file(key, path)

    monkeypatch.setattr(storage, "put_file", put_if_others_can_write)
    path = begin(api, archive)
    assert send(api, path, archive).status_code == 204
    source = {"name": "model", "source": {"upload": path.rpartition("/")[2]}}
    assert api.http.post("/v1/models", json=source).status_code == 201
    assert len(moved) > 3


def test_a_data_set_needs_its_splits(api: Api) -> None:
    answer = api.http.post("/v1/datasets", data={"task": "text_classification", "name": "d"})
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["#/train", "#/dev"]


def test_what_had_come_of_a_part_that_breaks_off_is_kept(api: Api) -> None:
    path = begin(api, b"x" * 3_000_000)
    head = f"PATCH {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3000000\r\nupload-offset: 0\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in PART.items())
    with closing(socket.create_connection(("127.0.0.1", api.http.base_url.port))) as client:
        client.sendall(head.encode() + b"\r\n" + b"x" * 2_000_000)
    wait_until(lambda: offset_of(api, path) == 2_000_000)
    assert send(api, path, b"x" * 1_000_000, offset=2_000_000).headers["upload-offset"] == "3000000"


def test_a_part_at_another_offset(api: Api) -> None:
    path = begin(api, b"0123456789")
    assert send(api, path, b"01234").status_code == 204
    for offset in (0, 6):
        answer = send(api, path, b"56789", offset=offset)
        assert (answer.status_code, answer.json()["offset"]) == (409, 5)
    assert offset_of(api, path) == 5


def test_more_than_there_was_to_be(api: Api) -> None:
    path = begin(api, b"0123456789")
    before = stored(api)
    assert send(api, path, b"x" * 11).status_code == 413
    assert (offset_of(api, path), stored(api)) == (0, before)
    too_large = api.http.post("/v1/uploads", headers=TUS | {"upload-length": str(2**24 + 1)})
    assert too_large.status_code == 413


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_damaged_part_is_discarded(api: Api, algorithm: str) -> None:
    path = begin(api, b"0123456789")
    digest = base64.b64encode(hashlib.new(algorithm, b"0123456789").digest()).decode()
    checksum = {"upload-checksum": f"{algorithm} {digest}"}
    assert send(api, path, b"012345678!", **checksum).status_code == 460
    assert offset_of(api, path) == 0
    assert send(api, path, b"0123456789", **checksum).status_code == 204


@pytest.mark.parametrize("checksum", ["crc32 AAAA", "sha1", "sha1 !"])
def test_a_checksum_that_cannot_be_read(api: Api, checksum: str) -> None:
    path = begin(api, b"0123456789")
    assert send(api, path, b"0123456789", **{"upload-checksum": checksum}).status_code == 400
    assert offset_of(api, path) == 0


def test_deleted_by_its_client(api: Api) -> None:
    path = begin(api, b"0123456789")
    send(api, path, b"01234")
    before = len(stored(api))
    assert api.http.delete(path, headers=TUS).status_code == 204
    assert api.http.head(path, headers=TUS).status_code == 404
    assert len(stored(api)) == before - 1


def test_another_version_of_the_protocol(api: Api) -> None:
    for headers in ({}, {"tus-resumable": "0.2.0"}):
        answer = api.http.post("/v1/uploads", headers=headers | {"upload-length": "10"})
        assert (answer.status_code, answer.headers["tus-version"]) == (412, "1.0.0")
        assert answer.headers["tus-resumable"] == "1.0.0"


def test_sent_again_with_its_key(api: Api) -> None:
    headers = TUS | {"upload-length": "10", "idempotency-key": "upload-1"}
    first, again = (api.http.post("/v1/uploads", headers=headers) for _ in range(2))
    assert (again.headers["idempotent-replayed"], again.json()) == ("true", first.json())
    other = api.http.post("/v1/uploads", headers=headers | {"upload-length": "11"})
    assert other.json()["type"] == "urn:squeeze:problem:idempotency_key_reused"


def test_it_says_what_it_can_do(api: Api) -> None:
    answer = api.http.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-extension"] == "creation,expiration,checksum,termination"
    assert answer.headers["tus-max-size"] == str(2**24)


def test_one_that_nobody_continues_expires(api: Api) -> None:
    path = begin(api, b"0123456789")
    send(api, path, b"01234")
    state = api.app.state
    worker = Worker("worker", state.settings, state.database, state.storage, state.queue, Shutdown())
    clean_up(worker)
    assert offset_of(api, path) == 5, "not before its time"
    with state.database.transaction() as session:
        row = session.get(Upload, path.rpartition("/")[2])
        row.expires_at = database_time(session) - timedelta(seconds=1)
        prefix = row.prefix
    assert send(api, path, b"56789", offset=5).status_code == 404
    clean_up(worker)
    assert state.storage.keys(prefix) == []
    with state.database.reading() as session:
        assert session.get(Upload, path.rpartition("/")[2]) is None
