"""Webhooks as a client sets them up, and what it sees of their deliveries."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.core.db import DEFAULT_PROJECT
from app.core.db.webhooks import enqueue_event
from app.webhooks.service import MOST_WEBHOOKS
from tests.app.conftest import Api, make_settings, run_api
from tests.app.webhooks.receiver import Receiver
from tests.conftest import empty_tables

URL = "https://example.com/hook"


@pytest.fixture(scope="module")
def running(sqlite_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    yield from run_api(make_settings(folder, database_url=sqlite_url))


@pytest.fixture
def api(running: Api) -> Api:
    empty_tables(running.database)
    running.app.state.settings.webhook_private_addresses = False
    return running


def create(api: Api, **changes: Any) -> httpx.Response:
    body = {"url": URL, "event_types": ["job.succeeded"], "enabled": False} | changes
    return api.http.post("/v1/webhooks", json=body)


def tell(api: Api) -> None:
    with api.database.transaction() as session:
        enqueue_event(session, DEFAULT_PROJECT, "job.succeeded", {"id": "job_1"})


def test_its_life(api: Api):
    created = create(api, event_types=["model.created", "job.failed"], description="to chat")
    webhook = created.json()
    assert (created.status_code, created.headers["location"]) == (201, f"/v1/webhooks/{webhook['id']}")
    secret = webhook.pop("secret")
    assert secret.startswith("whsec_")
    assert webhook["event_types"] == ["job.failed", "model.created"]
    path = created.headers["location"]
    assert api.http.get(path).json() == webhook
    assert api.http.get("/v1/webhooks").json()["data"] == [webhook]

    changed = api.http.patch(path, json={"description": "to mail"})
    assert changed.json() == webhook | {"description": "to mail"}
    changed = api.http.patch(path, json={"url": f"{URL}/2", "event_types": ["job.failed"], "enabled": True})
    assert changed.json() == changed.json() | {"url": f"{URL}/2", "event_types": ["job.failed"]}

    rotated = api.http.post(f"{path}/rotate", json={"overlap_s": 60}).json()
    assert rotated["secret"] not in (secret, None)
    assert rotated["previous_secret_expires_at"] is not None

    assert api.http.delete(path).status_code == 204
    assert api.http.get(path).json()["type"] == "urn:squeeze:problem:webhook_not_found"


def test_creating_it_twice(api: Api):
    body = {"url": URL, "event_types": ["job.failed"]}
    first, second = (
        api.http.post("/v1/webhooks", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert first.content == second.content


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://example.com",
            "ftp://example.com",
            "example.com",
            "https://",
            "https:///x",
            "//example.com",
        ),
        *("https://user:password@example.com", "https://example.com/#part", "https://exa mple.com\x01"),
        *("https://127.0.0.1", "https://[::1]/", "https://10.0.0.1:8080", "https://localhost/x"),
        *("https://169.254.169.254/latest/meta-data", "https://[::ffff:127.0.0.1]/"),
    ],
)
def test_urls_to_which_nothing_is_sent(api: Api, url: str):
    response = create(api, url=url)
    assert (response.status_code, response.json()["type"]) == (422, "urn:squeeze:problem:invalid_webhook_url")
    webhook = create(api).json()
    assert api.http.patch(f"/v1/webhooks/{webhook['id']}", json={"url": url}).status_code == 422


def test_private_addresses_where_they_are_allowed(api: Api):
    api.app.state.settings.webhook_private_addresses = True
    assert create(api, url="http://127.0.0.1:8080/x").status_code == 201


@pytest.mark.parametrize(
    "changes", [{"event_types": []}, {"event_types": ["job.exploded"]}, {"name": "x"}, {"url": "x" * 2001}]
)
def test_what_is_refused(api: Api, changes: dict[str, Any]):
    assert create(api, **changes).status_code == 422


def test_a_project_has_so_many(api: Api):
    assert {create(api).status_code for _ in range(MOST_WEBHOOKS)} == {201}
    assert create(api).json()["type"] == "urn:squeeze:problem:too_many_webhooks"


def test_an_event_on_its_way_and_again(api: Api, receiver: Receiver):
    """By the threads of the API itself."""
    api.app.state.settings.webhook_private_addresses = True
    webhook = create(api, url=receiver.url, enabled=True).json()
    tell(api)
    assert receiver.next().verify(webhook["secret"])["data"] == {"id": "job_1"}

    path = f"/v1/webhooks/{webhook['id']}"
    [delivery] = api.http.get(f"{path}/deliveries").json()["data"]
    replayed = api.http.post(f"{path}/deliveries/{delivery['id']}/replay").json()
    assert (replayed["id"], replayed["status"]) == (delivery["id"], "pending")
    api.app.state.webhooks.dispatch()
    received = receiver.next()
    assert received.headers["webhook-id"] == delivery["id"]
    assert received.event == delivery["payload"]


def test_the_log_in_pages(api: Api):
    webhook = create(api, url="https://receiver.invalid/", enabled=True).json()
    path = f"/v1/webhooks/{webhook['id']}"
    with api.database.transaction() as session:
        for _ in range(3):
            enqueue_event(session, DEFAULT_PROJECT, "job.succeeded", {})
    api.http.patch(path, json={"enabled": False})
    first = api.http.get(f"{path}/deliveries", params={"limit": 2}).json()
    rest = api.http.get(f"{path}/deliveries", params={"limit": 2, "after": first["next"]}).json()
    ids = [delivery["id"] for delivery in first["data"] + rest["data"]]
    assert (ids, rest["has_more"]) == (sorted(ids, reverse=True), False)
    assert len(ids) == 3
    refused = api.http.post(f"{path}/deliveries/{ids[0]}/replay")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:squeeze:problem:webhook_disabled")
    other = create(api).json()["id"]
    assert api.http.post(f"/v1/webhooks/{other}/deliveries/{ids[0]}/replay").status_code == 404
