"""Taking a model from a hub, against a small server that speaks its protocol, or does not."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from app.core import network
from app.core.places import Places
from tests.app.conftest import Api, make_settings, run_api
from tests.app.registry.hub_server import COMMIT, DESCRIPTION, Hub, reply, serving_hub
from tests.tiny import LABELS

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def hub(pristine: Path) -> Iterator[Hub]:
    files = {path.name: path.read_bytes() for path in pristine.iterdir()} | {"README.md": b"# tiny"}
    with serving_hub(Hub(files)) as hub:
        yield hub


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


def test_an_old_sentence_transformer(api, hub):
    """Its network with its head, and how its states are pooled."""
    hub.files = {f"0_Transformer/{name}": content for name, content in hub.files.items()}
    hub.files |= {f"2_Dense/{name}": b"{}" for name in ("config.json", "model.safetensors")}
    hub.files["config.json"] = b'{"__version__": "0.2.5"}'
    hub.files["1_Pooling/config.json"] = b'{"pooling_mode_max_tokens": true}'
    hub.files["modules.json"] = json.dumps(
        [
            {"idx": place, "path": f"{place}_{kind}", "type": f"sentence_transformers.models.{kind}"}
            for place, kind in enumerate(("Transformer", "Pooling"))
        ]
    ).encode()
    model = register(api).json()
    assert model["labels"] == LABELS
    assert model["manifest"]["pooling"]["mode"] == "max"
    assert not any("README" in path for path in hub.asked)


def test_shards(api, hub):
    shard = "model-00001-of-00001.safetensors"
    hub.files[shard] = hub.files.pop("model.safetensors")
    hub.files["model.safetensors.index.json"] = json.dumps({"weight_map": {"x": shard}}).encode()
    assert register(api).json()["labels"] == LABELS


@pytest.mark.parametrize(
    "name", ["no-slash", "../../etc", "org/name/more", "http://evil/x", "org/..", "a b/c", "org/n\u00e4me"]
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


def test_an_adapter(api, hub):
    hub.files["adapter_model.safetensors"] = hub.files.pop("model.safetensors")
    assert "merge_and_unload" in register(api).json()["detail"]
    assert not any("resolve" in path for path in hub.asked)


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


def refused(api: Api, message: str) -> None:
    """A hub that cannot be trusted is as good as none."""
    response = register(api)
    assert response.status_code == 503, response.json()
    assert response.json()["type"] == "urn:squeeze:problem:hub_unavailable"
    assert message in response.json()["detail"]
    assert response.headers["retry-after"]
    assert nothing_is_left(api)


def redirecting(location: str) -> Answer:
    return lambda handler: reply(handler, 302, {"location": location}, b"")


class TestRedirects:
    def test_on_the_hub_itself(self, api, hub):
        hub.answers[hub.file("config.json")] = redirecting("/elsewhere")
        hub.answers["/elsewhere"] = lambda handler: reply(handler, 200, {}, hub.files["config.json"])
        assert register(api).status_code == 201

    @pytest.mark.parametrize(
        "location",
        [
            "http://169.254.169.254/latest",
            "https://127.0.0.1/",
            "https://hf.co.evil.example/",
            "file:///etc/passwd",
        ],
    )
    def test_to_hosts_that_are_not_its_own(self, api, hub, location):
        hub.answers[hub.file("model.safetensors")] = redirecting(location)
        refused(api, "not allowed")

    def test_to_another_port_of_the_same_machine(self, api, hub):
        with serving_hub(Hub({})) as other:
            hub.answers[hub.file("model.safetensors")] = redirecting(f"{other.url}/x")
            refused(api, "not allowed")
            assert other.asked == []

    @pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
    def test_to_a_host_whose_address_is_private(self, api, hub, monkeypatch, address):
        """The name is one that is allowed; what it resolves to is not."""
        resolve = network.socket.getaddrinfo

        def resolve_privately(host, port, *args, **options):
            return resolve(address if host == "cdn.hf.co" else host, port, *args, **options)

        monkeypatch.setattr(network.socket, "getaddrinfo", resolve_privately)
        hub.answers[hub.file("model.safetensors")] = redirecting("https://cdn.hf.co/x")
        refused(api, "cdn.hf.co has an address that is not public")

    def test_without_end(self, api, hub):
        hub.answers["/a"] = redirecting("/a")
        hub.answers[DESCRIPTION] = redirecting("/a")
        refused(api, "without end")
        assert len(hub.asked) < 10

    @pytest.mark.parametrize("location", ["", "https://[", "https://hf.co:port/"])
    def test_to_nowhere(self, api, hub, location):
        hub.answers[DESCRIPTION] = lambda handler: reply(
            handler, 302, {"location": location} if location else {}, b""
        )
        refused(api, "The hub did not respond as it should")


class TestLies:
    @pytest.mark.parametrize("change", [b"more", None])
    def test_about_sizes(self, api, hub, change):
        content = hub.files["model.safetensors"]
        sent = content[:-1] if change is None else content + change
        hub.answers[hub.file("model.safetensors")] = lambda handler: reply(handler, 200, {}, sent)
        refused(api, "model.safetensors is not of the size that it gives")

    def test_a_file_without_end_is_not_read_to_it(self, api, hub):
        written = []

        def go_on(handler):
            handler.send_response(200)
            handler.end_headers()
            with suppress(OSError):
                while True:
                    handler.wfile.write(bytes(2**16))
                    written.append(2**16)

        hub.answers[hub.file("config.json")] = go_on
        refused(api, "config.json is not of the size that it gives")
        assert sum(written) < 64 * 2**20  # what sockets hold

    def test_about_content(self, api, hub):
        described = hub.description()
        for file in described["siblings"]:
            file["lfs"] = {
                "sha256": hashlib.sha256(hub.files[file["rfilename"]]).hexdigest(),
                "size": file["size"],
            }
        body = json.dumps(described).encode()
        hub.answers[DESCRIPTION] = lambda handler: reply(handler, 200, {}, body)
        assert register(api).status_code == 201
        changed = bytes([hub.files["model.safetensors"][0] ^ 1]) + hub.files["model.safetensors"][1:]
        hub.answers[hub.file("model.safetensors")] = lambda handler: reply(handler, 200, {}, changed)
        response = register(api)
        assert response.status_code == 503
        assert "sha256" in response.json()["detail"]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b'{"sha": "main"}',
            b'{"sha": "' + b"0" * 40 + b'", "siblings": [{"rfilename": "config.json"}]}',
            b'{"sha": "' + b"0" * 40 + b'", "siblings": [{"rfilename": "config.json", "size": -1}]}',
            b" " * 9_000_000,
        ],
        ids=["empty", "list", "no commit", "no size", "negative size", "long"],
    )
    def test_about_itself(self, api, hub, body):
        hub.answers[DESCRIPTION] = lambda handler: reply(handler, 200, {}, body)
        refused(api, "The hub did not respond as it should")
        assert not any("resolve" in path for path in hub.asked)

    @pytest.mark.parametrize("status", [429, 500, 204])
    def test_states(self, api, hub, status):
        hub.answers[DESCRIPTION] = lambda handler: reply(handler, status, {}, b"")
        refused(api, f"HTTP status {status}")


class TestHangs:
    @pytest.fixture
    def patient(self, tmp_path, sqlite_url, hub) -> Iterator[tuple[Api, threading.Event]]:
        """For a tenth of a second, with one place for downloads and one thread for requests."""
        settings = make_settings(
            tmp_path,
            database_url=sqlite_url,
            hub_endpoint=hub.url,
            hub_timeout=timedelta(seconds=0.1),
            hub_downloads=1,
            request_threads=1,
        )
        released = threading.Event()
        try:
            for api in run_api(settings):
                yield api, released
        finally:
            released.set()

    @pytest.mark.parametrize("place", ["description", "head", "content"])
    def test_it_is_left(self, patient, hub, place):
        api, released = patient

        def hang(handler):
            if place == "content":
                handler.send_response(200)
                handler.send_header("content-length", str(len(hub.files["config.json"])))
                handler.end_headers()
                handler.wfile.write(b"{")
            released.wait(60)

        hub.answers[DESCRIPTION if place == "description" else hub.file("config.json")] = hang
        refused(api, "Timeout")

    def test_a_trickle_comes_to_an_end(self, patient, hub):
        """Each wait is short, and there is no end of them."""
        api, released = patient

        def trickle(handler):
            handler.send_response(200)
            handler.end_headers()
            with suppress(OSError):
                while not released.wait(0.02):
                    handler.wfile.write(b" ")

        hub.answers[DESCRIPTION] = trickle
        refused(api, "Timeout")

    def test_it_holds_nothing_else(self, tmp_path, sqlite_url, hub, encoder_archive):
        """Other models are registered meanwhile; another one of the hub is refused soon."""
        settings = make_settings(
            tmp_path, database_url=sqlite_url, hub_endpoint=hub.url, hub_downloads=1, request_threads=1
        )
        asked, released = threading.Event(), threading.Event()

        def hang(handler):
            asked.set()
            released.wait(60)
            reply(handler, 500, {}, b"")

        hub.answers[DESCRIPTION] = hang
        for api in run_api(settings):
            api.app.state.downloads = Places(1, what="models are being taken from the hub", patience_s=0.1)
            hanging = threading.Thread(target=register, args=(api,))
            hanging.start()
            assert asked.wait(60)
            assert api.http.get("/v1/models").status_code == 200
            assert api.upload_model(encoder_archive).status_code == 201
            refusal = register(api)
            assert refusal.status_code == 503
            assert refusal.json()["type"] == "urn:squeeze:problem:server_busy"
            released.set()
            hanging.join(60)


def nothing_is_left(api: Api) -> bool:
    return api.stored() == [] and api.rows()["models"] == 0
