"""Taking a model from a hub, with the hub's own client against a small server that speaks its protocol."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.app.conftest import Api, make_settings, run_api
from tests.tiny import LABELS, tiny_model_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """One public repository, `org/tiny`, with a branch and a tag."""

    files: dict[str, bytes]
    url: str = ""
    asked: list[str] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        path = path.partition("?")[0]
        for revision in ("main", "v1", COMMIT):
            if path in {f"/api/models/org/tiny/revision/{revision}", "/api/models/org/tiny"}:
                siblings = [{"rfilename": name, "size": len(body)} for name, body in self.files.items()]
                body = {"id": "org/tiny", "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
                return 200, {"content-type": "application/json"}, json.dumps(body).encode()
            if path == f"/api/models/org/tiny/tree/{revision}":
                tree = [{"type": "file", "path": name, **_blob(body)} for name, body in self.files.items()]
                return 200, {"content-type": "application/json"}, json.dumps(tree).encode()
            name = path.removeprefix(f"/org/tiny/resolve/{revision}/")
            if name in self.files:
                etag = _blob(self.files[name])["oid"]
                return 200, {"etag": f'"{etag}"', "x-repo-commit": COMMIT}, self.files[name]
        code = "RevisionNotFound" if path.startswith("/api/models/org/tiny/") else "RepoNotFound"
        return 404, {"x-error-code": code}, b'{"error": "not found"}'


def _blob(body: bytes) -> dict:
    return {"size": len(body), "oid": hashlib.sha1(body).hexdigest()}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = tiny_model_folder(tmp_path / "hub", labels=LABELS)
    hub = Hub({path.name: path.read_bytes() for path in folder.iterdir()} | {"README.md": b"# tiny"})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            hub.asked.append(self.path)
            hub.authorizations.add(self.headers.get("authorization"))
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for name, value in (headers | {"content-length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def api(tmp_path: Path, postgres_url: str, hub: Hub) -> Iterator[Api]:
    yield from run_api(make_settings(tmp_path, database_url=postgres_url, hub_endpoint=hub.url))


def register(api: Api, hub: str = "org/tiny", **source: str):
    return api.http.post("/v1/models", json={"name": "tiny", "source": {"hub": hub, **source}})


@pytest.mark.parametrize("revision", ["main", "v1", COMMIT])
def test_the_commit_is_recorded(api, hub, revision, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_server")
    response = register(api, revision=revision)
    model = response.json()
    assert response.status_code == 201, model
    assert model["origin"] == "hub"
    assert model["labels"] == LABELS
    assert model["manifest"]["source"] == {"hub": "org/tiny", "revision": COMMIT}
    assert hub.authorizations == {None}


def test_only_known_files_are_fetched(api, hub):
    hub.files["modeling_tiny.py"] = b"import os"
    assert register(api).status_code == 201
    assert not any("modeling" in path or "README" in path for path in hub.asked)


@pytest.mark.parametrize(
    "name", ["no-slash", "../../etc", "org/name/more", "http://evil/x", "org/..", "a b/c"]
)
def test_ids_that_are_none(api, hub, name):
    response = register(api, name)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "#/source/hub"
    assert hub.asked == []


@pytest.mark.parametrize("source", [{"hub": "org/other"}, {"hub": "org/tiny", "revision": "v2"}])
def test_not_on_the_hub(api, source):
    response = register(api, **source)
    assert response.status_code == 422
    assert response.json()["type"] == "urn:squeeze:problem:hub_model_not_found"
    assert nothing_is_left(api)


def test_pickled(api, hub):
    del hub.files["model.safetensors"]
    hub.files["pytorch_model.bin"] = b"\x80\x02"
    response = register(api)
    assert response.json()["type"] == "urn:squeeze:problem:pickled_weights"
    assert nothing_is_left(api)


def test_too_large_is_known_before_it_is_fetched(tmp_path, postgres_url, hub):
    settings = make_settings(
        tmp_path, database_url=postgres_url, hub_endpoint=hub.url, max_unpacked_bytes=10_000
    )
    for api in run_api(settings):
        assert register(api).status_code == 413
        assert not any("resolve" in path for path in hub.asked)
        assert nothing_is_left(api)


def test_a_bad_model(api, hub):
    del hub.files["tokenizer.json"]
    assert register(api).json()["type"] == "urn:squeeze:problem:missing_tokenizer"
    assert nothing_is_left(api)


def test_the_hub_does_not_answer(tmp_path, postgres_url):
    settings = make_settings(tmp_path, database_url=postgres_url, hub_endpoint="http://127.0.0.1:1")
    for api in run_api(settings):
        response = register(api)
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert nothing_is_left(api)


def nothing_is_left(api: Api) -> bool:
    return api.stored() == [] and api.rows()["models"] == 0
