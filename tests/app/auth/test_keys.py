"""API keys as clients meet them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from app.auth.tokens import key_id_of
from app.core.db import DEFAULT_PROJECT
from app.core.db.api_keys import ApiKey
from tests.app.auth.conftest import OTHER_PROJECT, Headers
from tests.app.conftest import Api
from tests.processes import wait_until

MODELS = "/v1/models"


def id_of(headers: Headers) -> str:
    key_id = key_id_of(headers["authorization"].removeprefix("Bearer "))
    assert key_id is not None
    return key_id


def change(api: Api, headers: Headers, **values: Any) -> None:
    """Write to a key's row as another process does."""
    with api.database.transaction() as session:
        key = session.get(ApiKey, id_of(headers))
        for name, value in values.items():
            setattr(key, name, value)


@pytest.fixture
def trust_nothing(closed_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked up for every request."""
    monkeypatch.setattr(closed_api.app.state.guard.keys, "trusted_s", 0.0)


class TestRefusals:
    def test_without_a_key(self, closed_api):
        response = closed_api.http.get(MODELS)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer realm="squeeze"'
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"] == "urn:squeeze:problem:api_key_required"
        assert "squeeze keys create" in response.json()["detail"]

    @pytest.mark.parametrize(
        "given",
        [
            "Bearer x",
            "Bearer sqz_",
            "Bearer sqz_" + "0" * 26 + "_" + "0" * 64,
            "Bearer \xff",
            "Bearer " + "x" * 5000,
        ],
    )
    def test_of_what_is_no_key(self, closed_api, given):
        response = closed_api.http.get(MODELS, headers={"authorization": given.encode("latin-1")})
        assert response.status_code == 401
        assert response.json()["type"] == "urn:squeeze:problem:invalid_api_key"
        assert response.headers["www-authenticate"] == 'Bearer realm="squeeze", error="invalid_token"'

    @pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "sqz_1"])
    def test_of_another_scheme(self, closed_api, given):
        response = closed_api.http.get(MODELS, headers={"authorization": given})
        assert response.json()["type"] == "urn:squeeze:problem:api_key_required"

    def test_of_another_secret(self, closed_api, new_key):
        token = new_key("read")["authorization"]
        response = closed_api.http.get(
            MODELS, headers={"authorization": f"{token[:-1]}{'01'[token[-1] == '0']}"}
        )
        assert response.status_code == 401

    def test_come_before_the_body_is_read(self, closed_api):
        def body():
            raise AssertionError("the body was read")
            yield b""

        for path in ("/v1/jobs", f"{MODELS}/mdl_{'0' * 26}/predict"):
            response = closed_api.http.post(
                path, content=body(), headers={"content-type": "application/json"}
            )
            assert response.status_code == 401

    def test_are_of_the_form_that_clients_of_a_route_read(self, closed_api):
        response = closed_api.http.post(f"{MODELS}/mdl_{'0' * 26}/predict", json={"inputs": "a"})
        assert response.status_code == 401
        assert isinstance(response.json()["error"], str)


class TestScopes:
    @pytest.mark.parametrize(
        ("scopes", "allowed"),
        [
            ({"read"}, {"read"}),
            ({"predict"}, {"predict"}),
            ({"write"}, {"read", "write"}),
            ({"read", "predict"}, {"read", "predict"}),
            ({"admin"}, {"read", "predict", "write", "admin"}),
        ],
    )
    def test_allow_what_they_say(self, closed_api, new_key, scopes, allowed):
        headers = new_key(*scopes)
        absent = f"{MODELS}/mdl_{'0' * 26}"
        requests = {
            "read": ("GET", MODELS),
            "predict": ("POST", f"{absent}/predict"),
            "write": ("DELETE", absent),
            "admin": ("GET", "/v1/keys"),
        }
        for scope, (method, path) in requests.items():
            response = closed_api.http.request(method, path, headers=headers, json={"inputs": "a"})
            if scope in allowed:
                assert response.status_code in (200, 404)
            else:
                assert response.status_code == 403
                assert response.json()["scope"] == scope
                assert f"'{scope}'" in response.json()["detail"]
                challenge = f'Bearer realm="squeeze", error="insufficient_scope", scope="{scope}"'
                assert response.headers["www-authenticate"] == challenge


class TestLife:
    """Each step as another process makes it in the database, and as a client asks for it."""

    def test_creation(self, closed_api, new_key):
        admin = new_key("admin")
        expires_at = datetime.now(UTC) + timedelta(days=1)
        body = {"name": "ci", "scopes": ["write", "read"], "expires_at": expires_at.isoformat()}
        response = closed_api.http.post("/v1/keys", json=body, headers=admin)
        key = response.json()
        assert response.status_code == 201
        assert (key["project"], key["scopes"]) == (DEFAULT_PROJECT, ["read", "write"])
        assert response.headers["location"] == f"/v1/keys/{key['id']}"
        created = {"authorization": f"Bearer {key.pop('secret')}"}
        assert closed_api.http.get(MODELS, headers=created).status_code == 200
        shown = closed_api.http.get(f"/v1/keys/{key['id']}", headers=admin).json()
        assert shown | {"last_used_at": None} == key
        assert key["id"] in [
            row["id"] for row in closed_api.http.get("/v1/keys", headers=admin).json()["data"]
        ]

    def test_a_secret_is_stored_nowhere(self, closed_api, new_key, caplog):
        token = new_key("read")["authorization"].removeprefix("Bearer ")
        closed_api.http.get(MODELS, headers={"authorization": f"Bearer {token}"})
        with closed_api.database.reading() as session:
            rows = session.execute(select(ApiKey.__table__)).all()
        secret = token.rpartition("_")[2]
        assert secret not in repr(rows)
        assert secret not in caplog.text

    @pytest.mark.parametrize(
        "body", [{"name": "x"}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}]
    )
    def test_a_bad_request(self, closed_api, new_key, body):
        assert closed_api.http.post("/v1/keys", json=body, headers=new_key("admin")).status_code == 422

    def test_a_key_that_would_have_expired(self, closed_api, new_key):
        body = {"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}
        response = closed_api.http.post("/v1/keys", json=body, headers=new_key("admin"))
        assert response.json()["type"] == "urn:squeeze:problem:expiry_in_the_past"

    def test_expiry(self, closed_api, new_key, trust_nothing):
        headers = new_key("read")
        change(closed_api, headers, expires_at=datetime.now(UTC) + timedelta(days=1))
        assert closed_api.http.get(MODELS, headers=headers).status_code == 200
        change(closed_api, headers, expires_at=datetime.now(UTC) - timedelta(seconds=1))
        response = closed_api.http.get(MODELS, headers=headers)
        assert response.status_code == 401
        assert response.json()["type"] == "urn:squeeze:problem:api_key_expired"

    def test_revocation_takes_effect_at_once_where_it_is_made(self, closed_api, new_key):
        admin, headers = new_key("admin"), new_key("read")
        assert closed_api.http.get(MODELS, headers=headers).status_code == 200
        for _ in range(2):
            response = closed_api.http.post(f"/v1/keys/{id_of(headers)}/revoke", headers=admin)
            assert response.status_code == 200
            assert response.json()["revoked_at"] is not None
        response = closed_api.http.get(MODELS, headers=headers)
        assert response.status_code == 401
        assert response.json()["type"] == "urn:squeeze:problem:api_key_revoked"

    def test_rotation(self, closed_api, new_key, trust_nothing):
        admin, first = new_key("admin"), new_key("read")
        path = f"/v1/keys/{id_of(first)}/rotate"

        def rotate(**body: int) -> Headers:
            response = closed_api.http.post(path, headers=admin, json=body)
            assert response.status_code == 200
            return {"authorization": f"Bearer {response.json()['secret']}"}

        def works(headers: Headers) -> bool:
            return closed_api.http.get(MODELS, headers=headers).status_code == 200

        second = rotate()
        assert id_of(second) == id_of(first)
        assert [works(key) for key in (first, second)] == [True, True]
        change(closed_api, first, previous_expires_at=datetime.now(UTC) - timedelta(seconds=1))
        assert [works(key) for key in (first, second)] == [False, True]
        third = rotate(overlap_s=3600)
        fourth = rotate(overlap_s=0)
        assert [works(key) for key in (second, third, fourth)] == [False, False, True]

    def test_rotation_without_a_body_of_a_key_that_has_ended(self, closed_api, new_key):
        headers = new_key("read")
        change(closed_api, headers, revoked_at=datetime.now(UTC))
        response = closed_api.http.post(f"/v1/keys/{id_of(headers)}/rotate", headers=new_key("admin"))
        assert response.status_code == 409

    def test_last_use_is_written_once_a_minute(self, closed_api, new_key, trust_nothing):
        headers = new_key("read")
        written: list[str] = []

        def note(_connection, _cursor, statement, *_):
            if statement.startswith("UPDATE api_keys"):
                written.append(statement)

        def last_use() -> datetime | None:
            with closed_api.database.reading() as session:
                return session.get(ApiKey, id_of(headers)).last_used_at

        event.listen(closed_api.database.engine, "before_cursor_execute", note)
        try:
            assert last_use() is None
            closed_api.http.get(MODELS, headers=headers)
            wait_until(lambda: last_use() is not None)
            for _ in range(3):
                closed_api.http.get(MODELS, headers=headers)
            assert len(written) == 1
            an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
            change(closed_api, headers, last_used_at=an_hour_ago)
            closed_api.http.get(MODELS, headers=headers)
            wait_until(lambda: last_use() > an_hour_ago)
        finally:
            event.remove(closed_api.database.engine, "before_cursor_execute", note)


class TestProjects:
    def test_are_made_by_the_operator(self, closed_api, new_key):
        operator = new_key("admin")
        project = closed_api.http.post("/v1/projects", json={"name": "acme"}, headers=operator)
        assert project.status_code == 201
        id_ = project.json()["id"]
        assert (
            closed_api.http.post("/v1/projects", json={"name": "acme"}, headers=operator).status_code == 409
        )
        body = {"name": "first", "scopes": ["admin"], "project": id_}
        key = closed_api.http.post("/v1/keys", json=body, headers=operator).json()
        assert key["project"] == id_
        tenant = {"authorization": f"Bearer {key['secret']}"}
        listed = closed_api.http.get("/v1/projects", headers=tenant).json()["data"]
        assert [row["id"] for row in listed] == [id_]
        assert id_ in [
            row["id"] for row in closed_api.http.get("/v1/projects", headers=operator).json()["data"]
        ]
        assert [row["id"] for row in closed_api.http.get("/v1/keys", headers=tenant).json()["data"]] == [
            key["id"]
        ]

    def test_are_not_made_by_others(self, closed_api, new_key):
        tenant = new_key("admin", project=OTHER_PROJECT)
        response = closed_api.http.post("/v1/projects", json={"name": "mine"}, headers=tenant)
        assert response.status_code == 403
        assert response.json()["type"] == "urn:squeeze:problem:operator_required"
        body = {"name": "x", "scopes": ["admin"], "project": DEFAULT_PROJECT}
        response = closed_api.http.post("/v1/keys", json=body, headers=tenant)
        assert response.status_code == 404
