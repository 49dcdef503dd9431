"""Models that are read in the background: answered with a 202, ready or failed later, whatever dies."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.background import MOST_ATTEMPTS, BackgroundReading
from app.core.db import DEFAULT_PROJECT
from app.core.db.intake import claim
from app.core.db.models import Model
from app.core.db.orphans import named_prefixes
from app.core.db.projects import Project
from app.core.db.uploads import Upload
from app.core.db.usage import usage_of
from app.core.db.webhooks import Webhook, WebhookDelivery
from app.core.storage import project_prefix
from app.registry.unread import ModelReader
from tests.app.conftest import Api, make_settings, run_api
from tests.app.registry.conftest import edit_config
from tests.app.registry.hub_server import Hub, reply, serving_hub
from tests.processes import wait_until
from tests.tiny import zipped

ASYNC = {"prefer": "handling=strict, respond-async"}


@pytest.fixture
def hub(pristine: Path) -> Iterator[Hub]:
    with serving_hub(Hub({path.name: path.read_bytes() for path in pristine.iterdir()})) as hub:
        yield hub


@pytest.fixture
def api(tmp_path: Path, database_url: str, hub: Hub) -> Iterator[Api]:
    """On each database in turn."""
    yield from run_api(make_settings(tmp_path, database_url=database_url, hub_endpoint=hub.url))


@pytest.fixture
def held(hub: Hub) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The hub keeps the weights: it was asked for them, and it sends them."""
    asked, released = threading.Event(), threading.Event()
    name = "model.safetensors"

    def hold(handler):
        asked.set()
        released.wait(60)
        reply(handler, *hub.answer(hub.file(name)))

    hub.answers[hub.file(name)] = hold
    try:
        yield asked, released
    finally:
        released.set()


def send(api: Api, archive: Path, **more) -> dict:
    """An archive that is read in the background."""
    with archive.open("rb") as file:
        response = api.http.post(
            "/v1/models", files={"file": file}, data={"name": "large", **more}, headers=ASYNC
        )
    model = response.json()
    assert response.status_code == 202, model
    assert response.headers["location"] == f"/v1/models/{model['id']}"
    return model


def import_(api: Api) -> dict:
    body = {"name": "large", "source": {"hub": "org/tiny"}}
    response = api.http.post("/v1/models", json=body, headers=ASYNC)
    assert response.status_code == 202, response.json()
    return response.json()


def read(api: Api, model: dict) -> dict:
    return api.http.get(f"/v1/models/{model['id']}").json()


def settled(api: Api, model: dict) -> dict:
    """The model once it is no longer processing."""
    wait_until(lambda: read(api, model)["status"] != "processing")
    return read(api, model)


def events(api: Api) -> list[str]:
    with api.database.reading() as session:
        return list(session.scalars(select(WebhookDelivery.event_type).order_by(WebhookDelivery.id)))


def listen(api: Api) -> None:
    with api.database.of(DEFAULT_PROJECT).transaction() as session:
        names = ["model.created", "model.ready", "model.failed", "model.deleted"]
        session.add(
            Webhook(url="https://x", description="", event_types=names, is_enabled=True, secret="whsec_eA==")
        )


def uploads_left(api: Api) -> int:
    with api.database.reading() as session:
        return len(session.scalars(select(Upload)).all())


def stored_bytes(api: Api) -> int:
    with api.database.of(DEFAULT_PROJECT).reading() as session:
        return usage_of(session).stored_bytes


def refused_job(api: Api, teacher: str, dataset: str) -> dict:
    body = {"teacher": teacher, "dataset": dataset, "method": {"name": "fine_tuning"}}
    response = api.http.post("/v1/jobs", json=body)
    assert response.status_code == 409, response.json()
    return response.json()


def problem(model: dict) -> str:
    return model["error"]["code"]


def test_a_large_archive_is_what_a_small_one_is(api: Api, folder: Path):
    listen(api)
    model = send(api, zipped(folder), labels='["bad", "good"]')
    assert (model["status"], model["progress"]["step"]) == ("processing", "waiting")
    assert model["manifest"] is model["architecture"] is None
    ready = settled(api, model)
    assert (ready["status"], ready["progress"], ready["error"]) == ("ready", None, None)
    assert ready["labels"] == ["bad", "good"]
    assert events(api) == ["model.created", "model.ready"]
    at_once = api.upload_model(zipped(folder)).json()
    assert at_once["parameters"] == ready["parameters"]
    assert at_once["status"] == "ready"
    assert uploads_left(api) == 0
    assert {key.rpartition("/")[0] for key in api.stored()} == {
        row["manifest"]["files"]["prefix"] for row in (ready, at_once)
    }


def test_the_threshold(api: Api, tmp_path: Path, folder: Path):
    archive = zipped(folder)
    size = archive.stat().st_size
    for limit, status in ((size, 201), (size - 1, 202)):
        api.app.state.settings.background_above_bytes = limit
        response = api.upload_model(archive)
        assert response.status_code == status
        settled(api, response.json())


def test_what_cannot_be_taken(api: Api, folder: Path, dataset: str):
    listen(api)
    edit_config(folder, model_type="gpt2")
    refusal = api.upload_model(zipped(folder)).json()
    model = settled(api, send(api, zipped(folder)))
    assert model["status"] == "failed"
    assert f"urn:squeeze:problem:{model['error']['code']}" == refusal["type"]
    assert model["error"]["message"] == refusal["detail"]
    assert events(api) == ["model.created", "model.failed"]
    assert not any("models" in key or "uploads" in key for key in api.stored())
    job = refused_job(api, model["id"], dataset)
    assert job["type"] == "urn:squeeze:problem:model_failed"
    assert model["id"] in job["detail"]
    assert refusal["detail"] in job["detail"]
    for path in ("SHA256SUMS", "artifacts/config.json"):
        assert api.http.get(f"/v1/models/{model['id']}/{path}").status_code == 409
    prediction = api.http.post(f"/v1/models/{model['id']}/predict", json={"inputs": "a"})
    assert prediction.status_code == 409
    assert api.http.delete(f"/v1/models/{model['id']}").status_code == 204
    assert events(api)[-1] == "model.deleted"


def test_while_a_model_of_the_hub_comes(api: Api, hub: Hub, held, dataset: str):
    asked, released = held
    total = sum(map(len, hub.files.values()))
    before = stored_bytes(api)
    model = import_(api)
    assert asked.wait(60)
    assert stored_bytes(api) == before + total
    wait_until(lambda: read(api, model)["progress"]["done_bytes"])
    progress = read(api, model)["progress"]
    assert (progress["step"], progress["attempt"], progress["total_bytes"]) == ("downloading", 1, total)
    assert 0 < progress["done_bytes"] < total
    assert refused_job(api, model["id"], dataset)["type"] == "urn:squeeze:problem:model_not_ready"
    assert [row["status"] for row in api.http.get("/v1/models").json()["data"]] == ["processing"]
    with api.database.reading() as session:
        named_prefixes(session)
    released.set()
    ready = settled(api, model)
    assert ready["status"] == "ready"
    assert stored_bytes(api) == before + ready["size_bytes"]


def test_no_room_for_it(api: Api, hub: Hub):
    with api.database.transaction() as session:
        session.execute(update(Project).values(max_stored_bytes=sum(map(len, hub.files.values())) - 1))
    body = {"name": "large", "source": {"hub": "org/tiny"}}
    response = api.http.post("/v1/models", json=body, headers=ASYNC)
    assert response.json()["type"] == "urn:squeeze:problem:storage_quota_exceeded"
    assert api.rows()["models"] == 0


def test_deleted_while_it_comes(api: Api, held):
    asked, released = held
    model = import_(api)
    assert asked.wait(60)
    assert api.http.delete(f"/v1/models/{model['id']}").status_code == 204
    released.set()
    wait_until(lambda: not api.app.state.background.is_busy)
    assert api.stored() == []
    assert api.rows()["models"] == 0


def test_deleted_before_it_is_read(api: Api, folder: Path):
    api.app.state.background.close()
    model = send(api, zipped(folder))
    assert uploads_left(api) == 1
    assert api.http.delete(f"/v1/models/{model['id']}").status_code == 204
    assert uploads_left(api) == 0
    assert api.stored() == []


@pytest.fixture
def successor(api: Api) -> Iterator[BackgroundReading]:
    """Another process's, to be started."""
    state = api.app.state
    reader = ModelReader(state.storage, state.settings)
    reading = BackgroundReading(state.settings, state.database, state.outages, reader)
    yield reading
    reading.close()


def test_its_process_is_lost(api: Api, folder: Path, successor: BackgroundReading, tmp_path: Path):
    """In the middle of storing what it had read."""
    api.app.state.background.close()
    model = send(api, zipped(folder))
    with api.database.transaction() as session:
        assert claim(session, Model, model["id"], lease=timedelta(0)) is not None
    half = f"{project_prefix(DEFAULT_PROJECT, 'models', model['id'])}-1/model.safetensors"
    api.app.state.storage.put_file(half, folder / "config.json")
    successor.start()
    assert settled(api, model)["status"] == "ready"
    assert half not in api.stored()
    assert uploads_left(api) == 0


def test_it_is_lost_again_and_again(api: Api, folder: Path, successor: BackgroundReading):
    api.app.state.background.close()
    model = send(api, zipped(folder))
    with api.database.transaction() as session:
        session.execute(update(Model).values(attempt=MOST_ATTEMPTS))
    successor.start()
    assert problem(settled(api, model)) == "reading_interrupted"
    assert api.stored() == []


def test_its_process_is_told_to_stop(api: Api, hub: Hub, held, successor: BackgroundReading):
    """Another one goes on at once, and what the first still does is void."""
    asked, released = held
    model = import_(api)
    assert asked.wait(60)
    api.app.state.background.close()
    del hub.answers[hub.file("model.safetensors")]
    successor.start()
    ready = settled(api, model)
    released.set()
    wait_until(lambda: not api.app.state.background.is_busy)
    assert read(api, model) == ready
    assert ready["manifest"]["files"]["prefix"].endswith(f"{model['id']}-2")
    assert {key.rpartition("/")[0] for key in api.stored()} == {ready["manifest"]["files"]["prefix"]}


def test_the_hub_fails_meanwhile(api: Api, hub: Hub):
    hub.answers[hub.file("config.json")] = lambda handler: reply(handler, 503, {}, b"")
    model = import_(api)
    wait_until(lambda: read(api, model)["error"])
    waiting = read(api, model)
    assert (waiting["status"], problem(waiting)) == ("processing", "hub_unavailable")
    del hub.answers[hub.file("config.json")]
    with api.database.transaction() as session:
        session.execute(update(Model).values(due_at=Model.created_at))
    api.app.state.background.wake()
    ready = settled(api, model)
    assert (ready["status"], ready["error"]) == ("ready", None)


def test_an_upload_in_parts(api: Api, folder: Path):
    """It is gone once the model is ready; where that fails it remains, to be tried otherwise."""
    archive = zipped(folder).read_bytes()
    tus = {"tus-resumable": "1.0.0"}
    begun = api.http.post("/v1/uploads", headers={**tus, "upload-length": str(len(archive))})
    part = {**tus, "upload-offset": "0", "content-type": "application/offset+octet-stream"}
    assert api.http.patch(begun.headers["location"], content=archive, headers=part).status_code == 204
    body = {"name": "large", "source": {"upload": begun.json()["id"]}}
    failing = api.http.post("/v1/models", json={**body, "labels": ["one"]}, headers=ASYNC).json()
    assert settled(api, failing)["status"] == "failed"
    assert uploads_left(api) == 1
    model = api.http.post("/v1/models", json=body, headers=ASYNC).json()
    assert settled(api, model)["status"] == "ready"
    assert uploads_left(api) == 0


def test_sent_again_with_its_key(api: Api):
    body = {"name": "large", "source": {"hub": "org/tiny"}}
    first, again = (
        api.http.post("/v1/models", json=body, headers={**ASYNC, "idempotency-key": "a"}) for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert api.rows()["models"] == 1
    settled(api, first.json())
