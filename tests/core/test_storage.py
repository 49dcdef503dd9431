"""Files in a folder and in an S3-compatible store: the same through both."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from app.core.storage import Storage
from app.domain.errors import NotFound


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def storage(request, tmp_path, monkeypatch) -> Storage:
    if request.param == "folder":
        return Storage.from_url(f"file://{tmp_path / 'files'}")
    import httpx

    endpoint = request.getfixturevalue("s3_endpoint")
    monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "testing")
    bucket = f"bucket-{tmp_path.name.replace('_', '-').lower()}"[:60].strip("-")
    httpx.put(f"{endpoint}/{bucket}").raise_for_status()
    return Storage.from_url(f"s3://{bucket}/some/prefix", s3_endpoint=endpoint)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(os.urandom(5 * 2**20))
    return folder


def test_a_folder_comes_back_as_it_went(storage, folder, tmp_path):
    files = storage.put_folder("models/a", folder)
    assert files.prefix == "models/a"
    assert sorted(files.entries) == ["config.json", "model.safetensors"]
    assert files.size_bytes == 2 + 5 * 2**20
    for name in files.entries:
        storage.fetch(f"models/a/{name}", tmp_path / "back" / name)
        assert (tmp_path / "back" / name).read_bytes() == (folder / name).read_bytes()


def test_a_folder_that_becomes_empty_goes(folder, tmp_path):
    storage = Storage.from_url(f"file://{tmp_path / 'files'}")
    storage.put_folder("models/a", folder)
    storage.delete_prefix("models/a")
    assert list((tmp_path / "files").iterdir()) == []


def test_deleting_what_is_gone_does_no_harm(storage, folder):
    storage.put_folder("models/a", folder)
    storage.delete_files(["models/a/gone", "models/a/config.json", "models/b"])
    storage.delete_files([])
    assert storage.sizes("models") == {"models/a/model.safetensors": 5 * 2**20}


def test_keys_and_deletion_keep_to_the_prefix(storage, folder):
    storage.put_folder("models/a", folder)
    storage.put_folder("models/ab", folder)
    storage.delete_prefix("models/a")
    assert sorted(storage.keys("")) == ["models/ab/config.json", "models/ab/model.safetensors"]
    storage.delete_prefix("models/none")


def test_what_is_not_there(storage, tmp_path):
    with pytest.raises(NotFound):
        storage.stream("models/a/config.json")
    with pytest.raises(NotFound):
        storage.fetch("models/a/config.json", tmp_path / "x")


def test_all_of_a_folder_or_nothing(storage, folder, monkeypatch):
    put_file, last = storage.put_file, max(folder.iterdir())

    def put_but_delete_the_last(key: str, path: Path) -> None:
        last.unlink(missing_ok=True)
        put_file(key, path)

    monkeypatch.setattr(storage, "put_file", put_but_delete_the_last)
    with pytest.raises(FileNotFoundError):
        storage.put_folder("models/a", folder)
    assert storage.keys("models/a") == []


def test_links_in_a_folder_are_left_out(storage, folder):
    (folder / "zz-link").symlink_to("/proc/self/mem")
    assert "zz-link" not in storage.put_folder("models/a", folder).entries


def test_it_answers(storage):
    storage.check()


def test_other_places():
    with pytest.raises(ValueError, match="file://"):
        Storage.from_url("ftp://host/x")
