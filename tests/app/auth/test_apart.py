"""No route shows or changes what another project has: it answers as if there were no such thing.

The routes are those of the description, which a test holds against the app's own: none can be left out. What
a route is asked with is written here, so that a new route fails until somebody has thought about it.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from app.core.db import DEFAULT_PROJECT
from app.core.db.endpoints import Endpoint, set_target
from app.core.db.models import Model
from app.core.db.webhooks import WebhookDelivery
from app.core.settings import Settings
from app.domain.documents.endpoint_target import EndpointTarget
from app.domain.documents.manifest import FileEntry, Files
from app.main import create_app
from app.projects.service import create_key
from tests.app.auth.conftest import OTHER_PROJECT, Headers
from tests.app.conftest import Api
from tests.app.jobs.shelf import ENCODER, add_dataset, add_model

ABSENT = {
    "model_id": f"mdl_{'0' * 26}",
    "dataset_id": f"dst_{'0' * 26}",
    "job_id": f"job_{'0' * 26}",
    "key_id": f"key_{'0' * 26}",
    "project_id": f"prj_{'9' * 26}",
    "webhook_id": f"whk_{'0' * 26}",
    "delivery_id": f"msg_{'0' * 26}",
    "upload_id": f"upl_{'0' * 26}",
    "file_id": f"upl_{'9' * 26}",
    "endpoint_name": f"of-prj-{'9' * 26}",
}
"""Of each kind an id that nobody has; a route whose path has another kind fails here."""

NAMES = {"name": "model.safetensors", "pipeline": "text-classification", "version": "1"}
"""Parameters of paths that name a part of something."""

OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in create_app(Settings()).openapi()["paths"].items()
    for method, operation in operations.items()
]
OF_ONE_THING = [
    (method, path)
    for method, path, _ in OPERATIONS
    if re.search(r"{\w+_(id|name)}", path) and method != "PUT"  # which creates what is not there
]
LISTS = [(method, path) for method, path, _ in OPERATIONS if method == "GET" and "{" not in path]
CREATING = {o["operationId"]: path for method, path, o in OPERATIONS if method == "POST" and "{" not in path}


@dataclass
class Tenant:
    """A project, one of everything that it has, and its key, which may do everything."""

    api: Api
    key: Headers
    ids: dict[str, str]
    unused: dict[str, str]
    """A model and a data set that no job needs: nothing but being another's keeps them from deletion."""

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        headers = self.key
        if "/uploads" in path:
            headers = headers | {"tus-resumable": "1.0.0", "upload-length": "1", "upload-offset": "0"}
            if method == "PATCH":
                part = headers | {"content-type": "application/offset+octet-stream"}
                return self.api.http.patch(path, headers=part, content=b"x")
        if method == "POST" and not content:
            content = {"json": body_for(path)}
        if method == "PATCH":
            content = {"json": {"limits": {"max_queued_jobs": 0}} if "/projects/" in path else {}}
        return self.api.http.request(method, path, headers=headers, follow_redirects=False, **content)


def body_for(path: str) -> dict[str, Any]:
    """Of a POST that is not refused for what it says."""
    if path.endswith("/infer"):
        return {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["text"]}]}
    if path.endswith("/release"):
        return {"reason": "looked at by hand"}
    is_prediction = "/models/" in path and not path.endswith(("/load", "/unload"))
    return {"inputs": "text"} if is_prediction else {}


def settle(api: Api, project_id: str) -> Tenant:
    database = api.database.of(project_id)
    shelf = SimpleNamespace(database=database)
    model, unused = (add_model(shelf, ENCODER, "text_classification") for _ in range(2))
    dataset, unused_dataset = (add_dataset(shelf, "text_classification") for _ in range(2))
    store_file(api, model)
    with database.transaction() as session:
        key, token = create_key(session, name="all", scopes=["admin"])
    headers = {"authorization": f"Bearer {token}"}
    webhook = {"url": "https://receiver.invalid", "event_types": ["job.cancelled"], "enabled": False}
    webhook_id = api.http.post("/v1/webhooks", json=webhook, headers=headers).json()["id"]
    with database.transaction() as session:
        delivery = WebhookDelivery(webhook_id=webhook_id, event_type="job.cancelled", payload="{}")
        session.add(delivery)
    endpoint = Endpoint(name=f"of-{project_id.lower().replace('_', '-')}", earlier_json=[])
    with database.transaction() as session:
        set_target(session, endpoint, EndpointTarget(model=model))
    job = api.http.post("/v1/jobs", json=squeezing(model, dataset), headers=headers)
    assert job.status_code == 202, job.text
    # Its stream of events then has an end.
    assert api.http.post(f"/v1/jobs/{job.json()['id']}/cancel", headers=headers).status_code == 200
    ids = {"model_id": model, "dataset_id": dataset, "job_id": job.json()["id"], "key_id": key.id}
    ids["project_id"], ids["endpoint_name"] = project_id, endpoint.name
    ids["webhook_id"], ids["delivery_id"] = webhook_id, delivery.id
    tenant = Tenant(api, headers, ids, unused={"model_id": unused, "dataset_id": unused_dataset})
    file = {"file": ("train.jsonl", b"{}")}
    ids["file_id"] = tenant.ask("POST", "/v1/files", files=file, data={"purpose": "fine-tune"}).json()["id"]
    ids["upload_id"] = tenant.ask("POST", "/v1/uploads").headers["location"].rpartition("/")[2]
    return tenant


def store_file(api: Api, model_id: str) -> None:
    """Give a model one artifact."""
    prefix, name = f"files/{model_id}", NAMES["name"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(b"weights")
        api.app.state.storage.put_file(f"{prefix}/{name}", path)
        files = Files(prefix=prefix, entries={name: FileEntry.of(path)})
    with api.database.transaction() as session:
        model = session.get(Model, model_id)
        model.manifest_json = model.manifest.model_copy(update={"files": files}).to_stored()


def squeezing(teacher: str, dataset: str, small_model: str | None = None) -> dict[str, Any]:
    method: dict[str, Any] = {"name": "weight_squeezing"}
    if small_model is not None:
        return {
            "teacher": teacher,
            "dataset": dataset,
            "method": method | {"gate": {"small_model": small_model}},
        }
    return {"teacher": teacher, "dataset": dataset, "method": method, "target": {"compression_ratio": 2}}


@pytest.fixture(scope="module")
def tenants(closed_api: Api) -> dict[str, Tenant]:
    return {project: settle(closed_api, project) for project in (DEFAULT_PROJECT, OTHER_PROJECT)}


@pytest.fixture(params=[DEFAULT_PROJECT, OTHER_PROJECT], ids=["of the default project", "of another"])
def owner(request: pytest.FixtureRequest, tenants: dict[str, Tenant]) -> Tenant:
    return tenants[request.param]


@pytest.fixture
def intruder(owner: Tenant, tenants: dict[str, Tenant]) -> Tenant:
    return next(tenant for tenant in tenants.values() if tenant is not owner)


def filled(path: str, ids: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda match: (ids | NAMES)[match[1]], path)


def without_ids(response: httpx.Response, ids: Mapping[str, str]) -> tuple[int, Any, dict[str, str]]:
    """An answer in which the ids that were asked for, and that of the request, are replaced."""
    text = response.text.replace(response.headers["x-request-id"], "REQUEST")
    headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    for name, id_ in ids.items():
        text = text.replace(id_, name)
        headers = {header: value.replace(id_, name) for header, value in headers.items()}
    return response.status_code, text, headers


@pytest.mark.parametrize(("method", "path"), OF_ONE_THING)
def test_another_s_thing_is_as_absent_as_one_that_never_was(
    method: str, path: str, owner: Tenant, intruder: Tenant
):
    if path.startswith("/v1/projects") and intruder.ids["project_id"] == DEFAULT_PROJECT:
        assert intruder.ask("GET", filled(path, owner.ids)).status_code == 200, "the operator sees projects"
        return
    for ids in (owner.ids, owner.ids | owner.unused):
        foreign = intruder.ask(method, filled(path, ids))
        absent = intruder.ask(method, filled(path, ABSENT))
        if not path.endswith("/events") or foreign.status_code != 307:
            assert foreign.status_code == 404
        assert without_ids(foreign, ids) == without_ids(absent, ABSENT)
    if method == "GET":
        # Other protocols know models for predictions alone, for which this one lacks a file, and the job has
        # ended without a report.
        is_lacking = path.startswith("/v2") or path.endswith(("/health", "/info", "/report"))
        expected = 409 if is_lacking else 200
        assert owner.ask(method, filled(path, owner.ids)).status_code == expected


def test_and_nothing_of_it_was_changed(owner: Tenant, intruder: Tenant):
    lists = [path for _, path in LISTS if path.startswith("/v1") and path != "/v1/audit"]
    before = {path: owner.ask("GET", path).json().get("data") for path in lists}
    for method, path in OF_ONE_THING:
        if not path.startswith("/v1/projects"):
            intruder.ask(method, filled(path, owner.ids | owner.unused))
    assert {path: owner.ask("GET", path).json().get("data") for path in before} == before


@pytest.mark.parametrize(("method", "path"), LISTS)
def test_lists_show_nothing_of_another(method: str, path: str, owner: Tenant, intruder: Tenant):
    shown = intruder.ask(method, path)
    is_operator = intruder.ids["project_id"] == DEFAULT_PROJECT
    if path in ("/metrics", "/v1/workers"):
        assert shown.status_code == (200 if is_operator else 403)
        return
    assert shown.status_code == 200
    hidden = {**owner.ids, **owner.unused}
    if path in ("/v1/projects", "/v1/audit") and is_operator:
        return  # of all projects, and nothing that they have
    assert not [id_ for id_ in hidden.values() if id_ in shown.text]
    [kind] = re.findall(r"^/v1/(\w+)s$", path) or ["none"]
    if f"{kind}_id" in owner.ids:
        assert owner.ids[f"{kind}_id"] in owner.ask(method, path).text


def test_a_repository_is_of_one_project(owner: Tenant, intruder: Tenant):
    listed = {model["name"] for model in owner.ask("POST", "/v2/repository/index").json()}
    assert listed >= {owner.ids["model_id"], owner.unused["model_id"]}
    assert not listed & {intruder.ids["model_id"], intruder.unused["model_id"]}


def bodies(operation: str, owned: Mapping[str, str], own: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What a POST takes that names something: requests that each name one of ``owned``."""
    match operation:
        case "createJob" | "createPlan":
            yield {"json": squeezing(owned["model_id"], own["dataset_id"])}
            yield {"json": squeezing(own["model_id"], owned["dataset_id"])}
            yield {"json": squeezing(own["model_id"], own["dataset_id"], owned["model_id"])}
        case "createKey":
            yield {"json": {"name": "x", "scopes": ["read"], "project": owned["project_id"]}}
        case "createModel":
            yield {"json": {"name": "x", "source": {"upload": owned["upload_id"]}}}
        case "createDataset":
            uploads = dict.fromkeys(("train", "dev"), owned["upload_id"])
            yield {"data": {"uploads": json.dumps(uploads)}}
        case "createEmbeddings" | "classify":
            yield {"json": {"model": owned["model_id"], "input": "text"}}
        case "rerank":
            yield {"json": {"model": owned["model_id"], "query": "text", "documents": ["text"]}}
        case "createFineTuningJob":
            body = {"model": own["model_id"], "training_file": own["file_id"]}
            yield {"json": body | {"model": owned["model_id"]}}
            yield {"json": body | {"training_file": owned["dataset_id"]}}
            yield {"json": body | {"training_file": owned["file_id"], "validation_file": own["file_id"]}}
            yield {"json": body | {"validation_file": owned["file_id"]}}
        case "createFile" | "createProject" | "createWebhook" | "createUpload" | "listRepository":
            return  # these name nothing
        case _:
            raise AssertionError(f"what does {operation} name in its body?")


@pytest.mark.parametrize(("operation", "path"), CREATING.items())
def test_another_s_things_cannot_be_named(operation: str, path: str, owner: Tenant, intruder: Tenant):
    if operation == "createKey" and intruder.ids["project_id"] == DEFAULT_PROJECT:
        return  # the operator makes the first key of a project
    foreign = [intruder.ask("POST", path, **b) for b in bodies(operation, owner.ids, intruder.ids)]
    absent = [intruder.ask("POST", path, **b) for b in bodies(operation, ABSENT, intruder.ids)]
    assert [response.status_code for response in foreign] == [404] * len(foreign)
    assert [without_ids(r, owner.ids) for r in foreign] == [without_ids(r, ABSENT) for r in absent]


def test_idempotency_keys_are_each_project_s_own(owner: Tenant, intruder: Tenant):
    jobs = []
    for tenant in (owner, intruder):
        body = squeezing(tenant.ids["model_id"], tenant.ids["dataset_id"])
        headers = tenant.key | {"idempotency-key": f"same for {owner.ids['project_id']}"}
        first, second = (tenant.api.http.post("/v1/jobs", json=body, headers=headers) for _ in range(2))
        assert (first.status_code, second.headers.get("idempotent-replayed")) == (202, "true")
        assert first.json()["id"] == second.json()["id"]
        jobs.append(first.json()["id"])
    assert jobs[0] != jobs[1]


def test_cursors_of_another_show_nothing(owner: Tenant, intruder: Tenant):
    """An id says where a page begins and not whose it is."""
    for path, id_ in (("/v1/models", "model_id"), ("/v1/jobs", "job_id")):
        page = intruder.ask("GET", f"{path}?after={owner.ids[id_]}").json()
        assert owner.ids[id_] not in json.dumps(page)


def test_a_model_is_served_to_its_project_while_another_asks(owner: Tenant, intruder: Tenant):
    """What one project has loaded or looked up is no short way for another."""
    path = f"/v1/models/{owner.ids['model_id']}/predict"
    statuses = [tenant.ask("POST", path).status_code for tenant in (owner, intruder, owner, intruder)]
    assert statuses == [409, 404, 409, 404], "409: it has no export"


def test_a_file_is_not_given_for_knowing_its_digest(owner: Tenant, intruder: Tenant):
    path = filled("/v1/models/{model_id}/artifacts/{name}", owner.ids)
    etag = owner.ask("GET", path).headers["etag"]
    statuses = [
        tenant.api.http.get(path, headers=tenant.key | {"if-none-match": etag}).status_code
        for tenant in (owner, intruder)
    ]
    assert statuses == [304, 404]
