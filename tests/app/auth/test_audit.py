"""Every change is recorded: who, what, which object, when, in which request."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from app.core.db import DEFAULT_PROJECT
from app.core.db.models import Model
from app.core.settings import Settings
from app.domain.documents.gate import Gate, GateFailure, GateResult
from app.main import create_app
from tests.app.auth.conftest import OTHER_PROJECT, Headers
from tests.app.auth.test_keys import id_of
from tests.app.conftest import Api
from tests.app.jobs.shelf import ENCODER, add_dataset, add_model
from worker.runner.expired_rows import remove_expired_rows

CHANGES_NOTHING = {
    "classify",
    "createEmbeddings",
    "createPlan",
    "describeUploads",
    "evictModel",
    "getUploadOffset",
    "infer",
    "inferVersion",
    "listRepository",
    "loadModel",
    "predict",
    "predictAsEndpoint",
    "predictAsPipeline",
    "predictAtModel",
    "preloadModel",
    "rerank",
    "unloadModel",
}
Ask = Callable[[Api, Headers, Any], httpx.Response]


def upload_model(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    with shelf.archive.open("rb") as file:
        return api.http.post("/v1/models", files={"file": ("m.zip", file)}, data={"name": "m"}, headers=key)


def upload_dataset(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    files = {split: ("t.jsonl", path.read_bytes()) for split, path in shelf.files.items()}
    return api.http.post("/v1/datasets", files=files, headers=key)


def create_job(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    teacher, dataset = (
        add_model(shelf, ENCODER, "text_classification"),
        add_dataset(shelf, "text_classification"),
    )
    target = {"compression_ratio": 2}
    body = {"teacher": teacher, "dataset": dataset, "method": {"name": "weight_copy"}, "target": target}
    return api.http.post("/v1/jobs", json=body, headers=key)


def cancel_job(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    return api.http.post(f"{create_job(api, key, shelf).headers['location']}/cancel", headers=key)


def release_model(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    model_id = add_model(shelf, ENCODER, "text_classification")
    failure = GateFailure(condition="min_quality", model="student", required=0.9, measured=0.8, missed_by=0.1)
    gate = GateResult(split="dev", metric="accuracy", conditions=Gate(min_quality=0.9), failures=[failure])
    with shelf.database.transaction() as session:
        model = session.get(Model, model_id)
        model.manifest_json = model.manifest.model_copy(update={"gate": gate}).to_stored()
    return api.http.post(f"/v1/models/{model_id}/release", json={"reason": "tried by hand"}, headers=key)


def delete_model(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    return api.http.delete(f"/v1/models/{add_model(shelf, ENCODER, None)}", headers=key)


def delete_dataset(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    return api.http.delete(f"/v1/datasets/{add_dataset(shelf, 'text_classification')}", headers=key)


def create_key(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    return api.http.post("/v1/keys", json={"name": "k", "scopes": ["read"]}, headers=key)


def change_key(what: str) -> Ask:
    def change(api: Api, key: Headers, shelf: Any) -> httpx.Response:
        return api.http.post(f"{create_key(api, key, shelf).headers['location']}/{what}", headers=key)

    return change


def create_project(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    return api.http.post("/v1/projects", json={"name": datetime.now(UTC).isoformat()}, headers=key)


def update_project(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    path = create_project(api, key, shelf).headers["location"]
    return api.http.patch(path, json={"limits": {"max_queued_jobs": 5}}, headers=key)


def create_webhook(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    webhook = {"url": "https://receiver.invalid", "event_types": ["job.cancelled", "model.deleted"]}
    return api.http.post("/v1/webhooks", json=webhook, headers=key)


def change_webhook(method: str, what: str = "") -> Ask:
    def change(api: Api, key: Headers, shelf: Any) -> httpx.Response:
        path = create_webhook(api, key, shelf).headers["location"]
        return api.http.request(method, path + what, json={}, headers=key)

    return change


def update_webhook(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    path = create_webhook(api, key, shelf).headers["location"]
    return api.http.patch(path, json={"description": "changed"}, headers=key)


def replay_webhook_delivery(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    path = create_webhook(api, key, shelf).headers["location"]
    delete_model(api, key, shelf)
    [delivery] = api.http.get(f"{path}/deliveries", headers=key).json()["data"]
    return api.http.post(f"{path}/deliveries/{delivery['id']}/replay", headers=key)


def change_endpoint(method: str, what: str = "") -> Ask:
    def change(api: Api, key: Headers, shelf: Any) -> httpx.Response:
        first, second = (add_model(shelf, ENCODER, "text_classification", exports=["fp32"]) for _ in range(2))
        path = f"/v1/endpoints/of-{first[4:].lower()}"
        created = api.http.put(path, json={"model": first}, headers=key)
        if (method, what) == ("PUT", ""):
            return created
        assert api.http.put(path, json={"model": second}, headers=key).status_code == 200
        return api.http.request(method, path + what, headers=key)

    return change


def change_upload(method: str = "") -> Ask:
    def change(api: Api, key: Headers, shelf: Any) -> httpx.Response:
        headers = key | {"tus-resumable": "1.0.0", "upload-length": "1"}
        created = api.http.post("/v1/uploads", headers=headers)
        if not method:
            return created
        part = {"upload-offset": "0", "content-type": "application/offset+octet-stream"}
        return api.http.request(method, created.headers["location"], headers=headers | part, content=b"x")

    return change


def create_file(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    file = {"file": ("train.jsonl", b"{}")}
    return api.http.post("/v1/files", files=file, data={"purpose": "fine-tune"}, headers=key)


def delete_file(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    return api.http.delete(create_file(api, key, shelf).headers["location"], headers=key)


def create_fine_tuning_job(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    body = {
        "model": add_model(shelf, ENCODER, None),
        "training_file": add_dataset(shelf, "text_classification"),
    }
    return api.http.post("/v1/fine_tuning/jobs", json=body, headers=key)


def cancel_fine_tuning_job(api: Api, key: Headers, shelf: Any) -> httpx.Response:
    return api.http.post(f"{create_fine_tuning_job(api, key, shelf).headers['location']}/cancel", headers=key)


CHANGES: dict[str, tuple[str, Ask]] = {
    "createModel": ("created", upload_model),
    "deleteModel": ("deleted", delete_model),
    "createDataset": ("created", upload_dataset),
    "deleteDataset": ("deleted", delete_dataset),
    "createUpload": ("created", change_upload()),
    "appendToUpload": ("updated", change_upload("PATCH")),
    "deleteUpload": ("deleted", change_upload("DELETE")),
    "createJob": ("created", create_job),
    "cancelJob": ("updated", cancel_job),
    "releaseModel": ("updated", release_model),
    "createFile": ("created", create_file),
    "deleteFile": ("deleted", delete_file),
    "createFineTuningJob": ("created", create_fine_tuning_job),
    "cancelFineTuningJob": ("updated", cancel_fine_tuning_job),
    "createKey": ("created", create_key),
    "rotateKey": ("updated", change_key("rotate")),
    "revokeKey": ("updated", change_key("revoke")),
    "createProject": ("created", create_project),
    "updateProject": ("updated", update_project),
    "createWebhook": ("created", create_webhook),
    "updateWebhook": ("updated", update_webhook),
    "deleteWebhook": ("deleted", change_webhook("DELETE")),
    "rotateWebhookSecret": ("updated", change_webhook("POST", "/rotate")),
    "replayWebhookDelivery": ("updated", replay_webhook_delivery),
    "setEndpoint": ("created", change_endpoint("PUT")),
    "rollBackEndpoint": ("updated", change_endpoint("POST", "/rollback")),
    "deleteEndpoint": ("deleted", change_endpoint("DELETE")),
}


@pytest.fixture
def shelf(closed_api: Api, encoder_archive, dataset_files) -> Any:
    return SimpleNamespace(
        database=closed_api.database.of(DEFAULT_PROJECT), archive=encoder_archive, files=dataset_files
    )


def entries(api: Api, key: Headers) -> list[dict[str, Any]]:
    return api.http.get("/v1/audit", params={"limit": 100}, headers=key).json()["data"]


def test_these_are_all_operations_that_change_something():
    paths = create_app(Settings()).openapi()["paths"].values()
    changing = {op["operationId"] for ops in paths for method, op in ops.items() if method != "get"}
    assert changing == CHANGES.keys() | CHANGES_NOTHING


@pytest.mark.parametrize("action", CHANGES)
def test_a_change(closed_api, new_key, shelf, action):
    change, ask = CHANGES[action]
    operator = new_key("admin")
    response = ask(closed_api, operator, shelf)
    assert response.is_success, response.text
    [entry] = [
        entry
        for entry in entries(closed_api, operator)
        if entry["request_id"] == response.headers["x-request-id"]
    ]
    assert (entry["action"], entry["change"], entry["actor"]) == (action, change, id_of(operator))
    path = response.headers.get("location", response.request.url.path)
    target = response.json()["id"] if response.content else path.rpartition("/")[2]
    if action == "deleteEndpoint":  # its path has a name
        target = entry["target"]
        assert target.startswith("end_")
    assert entry["target"] == target
    assert entry["project"] == (target if action.endswith("Project") else DEFAULT_PROJECT)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(entry["created_at"])) < timedelta(minutes=1)


def test_old_entries_go_where_they_are_not_kept_for_ever(closed_api, new_key, shelf):
    operator = new_key("admin")
    create_key(closed_api, operator, shelf)
    assert entries(closed_api, operator)
    for keep, left in ((None, True), (timedelta(days=1), True), (timedelta(microseconds=1), False)):
        settings = closed_api.app.state.settings.model_copy(update={"keep_audit": keep})
        remove_expired_rows(SimpleNamespace(database=closed_api.database, settings=settings))
        assert bool(entries(closed_api, operator)) is left


def test_what_fails_or_changes_nothing_leaves_none(closed_api, new_key, shelf):
    operator = new_key("admin")
    before = entries(closed_api, operator)
    closed_api.http.post("/v1/jobs", json={}, headers=operator)
    closed_api.http.delete(f"/v1/models/mdl_{'0' * 26}", headers=operator)
    closed_api.http.get("/v1/models", headers=operator)
    closed_api.http.post("/v1/projects", json={"name": "default"}, headers=operator)
    assert entries(closed_api, operator) == before


def test_pages_and_projects(closed_api, new_key):
    operator, tenant = new_key("admin"), new_key("admin", project=OTHER_PROJECT)
    for key in (tenant, operator, tenant):
        create_key(closed_api, key, None)
    assert {entry["project"] for entry in entries(closed_api, tenant)} == {OTHER_PROJECT}
    assert {entry["project"] for entry in entries(closed_api, operator)} >= {OTHER_PROJECT, DEFAULT_PROJECT}
    first = closed_api.http.get("/v1/audit", params={"limit": 2}, headers=operator).json()
    second = closed_api.http.get(
        "/v1/audit", params={"limit": 1, "after": first["next"]}, headers=operator
    ).json()
    assert [entry["actor"] for entry in first["data"]] == [id_of(tenant), id_of(operator)]
    assert [entry["actor"] for entry in second["data"]] == [id_of(tenant)]
    ids = [entry["id"] for entry in first["data"] + second["data"]]
    assert ids == sorted(ids, reverse=True)


def test_it_needs_the_scope(closed_api, new_key):
    assert closed_api.http.get("/v1/audit", headers=new_key("write")).status_code == 403
