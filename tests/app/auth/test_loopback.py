"""Who needs no key."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient

from app.core.settings import Settings
from app.main import create_app
from tests.app.conftest import make_settings

Client = Callable[..., TestClient]


@pytest.fixture
def client(tmp_path, sqlite_url) -> Iterator[Client]:
    """A client at an address, of an app that lets its own machine in without a key, or not."""
    with ExitStack() as opened:

        def connect(address: str = "127.0.0.1", *, loopback_without_key: bool = True) -> TestClient:
            settings = make_settings(
                tmp_path, database_url=sqlite_url, loopback_without_key=loopback_without_key
            )
            app = TestClient(create_app(settings), base_url="http://127.0.0.1", client=(address, 50_000))
            return opened.enter_context(app)

        yield connect


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1"])
def test_this_machine(client, address):
    http = client(address)
    assert http.get("/v1/models").status_code == 200
    assert (
        http.get("/v1/models", headers={"authorization": "Bearer hf_of_another_service"}).status_code == 200
    )
    assert http.delete(f"/v1/models/mdl_{'0' * 26}").status_code == 404


def test_it_makes_no_keys(client):
    response = client().get("/v1/keys")
    assert response.status_code == 403
    assert response.json()["scope"] == "admin"


@pytest.mark.parametrize("address", ["192.0.2.7", "128.0.0.1", "::ffff:192.0.2.7", "testclient"])
def test_another_machine(client, address):
    assert client(address).get("/v1/models").status_code == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "forwarded", "x-real-ip", "via"])
def test_a_proxy_on_this_machine(client, header):
    assert client().get("/v1/models", headers={header: "127.0.0.1"}).status_code == 401


def test_a_key_that_is_given_counts(client):
    given = {"authorization": f"Bearer sqz_{'0' * 26}_{'0' * 64}"}
    assert client().get("/v1/models", headers=given).status_code == 401


def test_if_the_setting_says_so(client):
    assert client(loopback_without_key=False).get("/v1/models").status_code == 401


def test_a_service_needs_keys_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("SQUEEZE_LOOPBACK_WITHOUT_KEY")
    assert not Settings().loopback_without_key
