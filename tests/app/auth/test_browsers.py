"""What a browser sends for another site is refused, to a service on this machine above all."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from app.core.settings import Settings
from app.main import ROUTERS, create_app
from tests.app.conftest import make_settings

CANCEL = f"/v1/jobs/job_{'0' * 26}/cancel"
Connect = Callable[..., TestClient]


@pytest.fixture
def connect(tmp_path, sqlite_url) -> Iterator[Connect]:
    """A client on the machine of an app with some settings."""
    with ExitStack() as opened:

        def open_client(**settings: Any) -> TestClient:
            app = create_app(make_settings(tmp_path, database_url=sqlite_url, **settings))
            return opened.enter_context(
                TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000))
            )

        yield open_client


def code(response: httpx.Response) -> str:
    return response.json()["type"].rpartition(":")[2]


class TestHost:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:8000", "[::1]"])
    def test_names_of_this_machine(self, connect, host):
        assert connect().get("/v1/models", headers={"host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "127.0.0.1x"],
    )
    def test_another_name_that_points_here(self, connect, host):
        response = connect().get("/v1/models", headers={"host": host})
        assert (response.status_code, code(response)) == (403, "host_not_allowed")
        assert "SQUEEZE_ALLOWED_HOSTS" in response.json()["detail"]
        assert "www-authenticate" not in response.headers, "no key would do"

    def test_names_that_a_setting_gives(self, connect):
        http = connect(allowed_hosts="squeeze.example, localhost")
        statuses = [
            http.get("/v1/models", headers={"host": host}).status_code
            for host in ("squeeze.example", "Squeeze.Example:443", "localhost", "evil.example", "127.0.0.1")
        ]
        assert statuses == [200, 200, 200, 403, 403]

    def test_a_service_for_other_machines_has_names_that_it_does_not_know(self, connect):
        """Its keys are no browser's to send; who needs none must say which machine is meant."""
        http = connect(host="0.0.0.0")
        assert http.get("/v1/models", headers={"host": "squeeze.internal"}).status_code == 401
        assert http.get("/v1/models", headers={"host": "localhost"}).status_code == 200

    def test_health_is_asked_for_under_any(self, connect):
        assert connect().get("/healthz", headers={"host": "10.0.0.7:8000"}).status_code == 200


class TestOrigin:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"origin": "http://127.0.0.1:8000"},
            {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"},
            {"sec-fetch-site": "none"},
        ],
    )
    def test_its_own(self, connect, headers):
        assert connect().post(CANCEL, headers=headers).status_code == 404

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "http://127.0.0.1:3000"},
            {"origin": "http://localhost:8000"},
            {"origin": "null"},
            {"origin": "http://["},
            {"origin": "://127.0.0.1:8000"},
            {"origin": "http://127.0.0.1:8000/page"},
            {"origin": "http://127.0.0.1:8000.evil.example"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ],
    )
    def test_another(self, connect, headers):
        http = connect()
        for method in ("POST", "DELETE"):
            path = CANCEL if method == "POST" else f"/v1/models/mdl_{'0' * 26}"
            response = http.request(method, path, headers=headers)
            assert (response.status_code, code(response)) == (403, "origin_not_allowed")
        assert http.get("/v1/models", headers=headers).status_code == 200, "it cannot read the answer"

    def test_under_a_name_that_a_setting_gives(self, connect):
        """Behind a proxy that names the API otherwise than browsers do."""
        http = connect(allowed_hosts="squeeze.example,127.0.0.1")
        assert http.post(CANCEL, headers={"origin": "https://squeeze.example"}).status_code == 404
        assert http.post(CANCEL, headers={"origin": "https://evil.example"}).status_code == 403


class TestMediaType:
    def test_json_routes_take_json(self, connect):
        http = connect()
        for path in ("/v1/jobs", "/v1/plans", f"/v1/models/mdl_{'0' * 26}/predict"):
            for media_type in (
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "",
            ):
                response = http.post(path, content=b"{}", headers={"content-type": media_type})
                assert (response.status_code, code(response)) == (415, "unsupported_media_type"), path
                assert "application/json" in response.json()["detail"]
            for media_type in ("application/json", "Application/JSON; charset=utf-8"):
                assert http.post(path, content=b"{}", headers={"content-type": media_type}).status_code == 422

    def test_a_route_may_take_a_form_instead(self, connect):
        http = connect()
        refused = http.post("/v1/datasets", content=b"{}", headers={"content-type": "application/json"})
        assert refused.status_code == 415
        assert (
            http.post("/v1/models", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
        )
        assert http.post("/v1/models", json={}).status_code == 422
        assert http.post("/v1/models", data={"name": "x"}, files={"x": b""}).status_code == 422

    def test_no_body_has_no_type(self, connect):
        assert connect().post(CANCEL).status_code == 404

    def test_every_route_with_a_body_says_which(self):
        document = create_app(Settings()).openapi()
        for router in ROUTERS:
            for route in (route for route in router.routes if route.include_in_schema):
                for method in route.methods:
                    operation = document["paths"][route.path.replace(":path}", "}")][method.lower()]
                    described = set(operation.get("requestBody", {}).get("content", ()))
                    taken = set(getattr(route, "media_types", ()))
                    assert taken - {"application/x-www-form-urlencoded"} == described, route.path
                    assert ("415" in operation["responses"]) == bool(described)
