"""The API's description is under test: a change of it is made knowingly.

``python -m tests.app.test_openapi`` writes it anew.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from app.core.settings import Settings
from app.main import create_app

SNAPSHOT = Path(__file__).with_name("openapi.json")


@cache
def describe() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def test_the_description_is_the_one_on_record():
    assert json.loads(SNAPSHOT.read_text()) == json.loads(json.dumps(describe())), (
        "the API has changed; if that is meant: python -m tests.app.test_openapi"
    )


def test_every_call_of_the_product_is_described():
    paths = {path: set(operations) for path, operations in describe()["paths"].items()}
    assert paths == {
        "/v1/models": {"get", "post"},
        "/v1/models/{model_id}/release": {"post"},
        "/v1/models/{model_id}": {"get", "delete", "post"},
        "/models/{model_id}": {"post"},
        **{f"{at}/models/{{model_id}}/{what}": {"get"} for at in ("", "/v1") for what in ("health", "info")},
        "/models/{model_id}/pipeline/{pipeline}": {"post"},
        "/v1/models/{model_id}/artifacts/{name}": {"get"},
        "/v1/models/{model_id}/SHA256SUMS": {"get"},
        "/v1/models/{model_id}/SHA256SUMS.sig": {"get"},
        "/v1/signing-keys": {"get"},
        "/v1/uploads": {"post", "options"},
        "/v1/uploads/{upload_id}": {"head", "patch", "delete"},
        "/v1/models/{model_id}/predict": {"post"},
        "/v1/models/{model_id}/load": {"post"},
        "/v1/models/{model_id}/unload": {"post"},
        "/v1/embeddings": {"post"},
        "/v1/classify": {"post"},
        "/v1/rerank": {"post"},
        "/v2": {"get"},
        "/v2/health/live": {"get"},
        "/v2/health/ready": {"get"},
        "/v2/models/{model_id}": {"get"},
        "/v2/models/{model_id}/infer": {"post"},
        "/v2/models/{model_id}/ready": {"get"},
        "/v2/models/{model_id}/versions/{version}": {"get"},
        "/v2/models/{model_id}/versions/{version}/infer": {"post"},
        "/v2/models/{model_id}/versions/{version}/ready": {"get"},
        "/v2/repository/index": {"post"},
        "/v2/repository/models/{model_id}/load": {"post"},
        "/v2/repository/models/{model_id}/unload": {"post"},
        "/v1/datasets": {"get", "post"},
        "/v1/datasets/{dataset_id}": {"get", "delete"},
        "/v1/methods": {"get"},
        "/v1/plans": {"post"},
        "/v1/jobs": {"get", "post"},
        "/v1/jobs/{job_id}": {"get"},
        "/v1/jobs/{job_id}/cancel": {"post"},
        "/v1/jobs/{job_id}/report": {"get"},
        "/v1/jobs/{job_id}/events": {"get"},
        "/v1/jobs/{job_id}/events/stream": {"get"},
        "/v1/endpoints": {"get"},
        "/v1/endpoints/{endpoint_name}": {"get", "put", "delete"},
        "/v1/endpoints/{endpoint_name}/rollback": {"post"},
        "/v1/fine_tuning/jobs": {"get", "post"},
        "/v1/fine_tuning/jobs/{job_id}": {"get"},
        "/v1/fine_tuning/jobs/{job_id}/cancel": {"post"},
        "/v1/fine_tuning/jobs/{job_id}/events": {"get"},
        "/v1/fine_tuning/jobs/{job_id}/checkpoints": {"get"},
        "/v1/files": {"get", "post"},
        "/v1/files/{file_id}": {"get", "delete"},
        "/v1/files/{file_id}/content": {"get"},
        "/v1/workers": {"get"},
        "/v1/projects": {"get", "post"},
        "/v1/projects/{project_id}": {"get", "patch"},
        "/v1/audit": {"get"},
        "/v1/keys": {"get", "post"},
        "/v1/keys/{key_id}": {"get"},
        "/v1/keys/{key_id}/rotate": {"post"},
        "/v1/keys/{key_id}/revoke": {"post"},
        "/v1/webhooks": {"get", "post"},
        "/v1/webhooks/{webhook_id}": {"get", "patch", "delete"},
        "/v1/webhooks/{webhook_id}/rotate": {"post"},
        "/v1/webhooks/{webhook_id}/deliveries": {"get"},
        "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": {"post"},
        "/healthz": {"get"},
        "/readyz": {"get"},
        "/metrics": {"get"},
    }


def test_every_reference_leads_somewhere():
    document = describe()
    references = set()

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                references.add(reference)
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)

    collect(document)
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references <= schemas


def operations() -> list[dict[str, Any]]:
    return [operation for path in describe()["paths"].values() for operation in path.values()]


def test_operation_ids_name_methods_of_a_client():
    ids = [operation["operationId"] for operation in operations()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", id_) for id_ in ids), ids
    assert {"createJob", "listModels", "getModel", "deleteDataset", "createPlan", "listMethods"} <= set(ids)
    assert {"streamJobEvents", "predict"} <= set(ids)


def test_each_operation_names_its_own_errors():
    for operation in operations():
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "4"}
        assert all(re.fullmatch(r"[45]\d\d", status) for status in errors), operation["operationId"]
        for answer in errors.values():
            assert answer["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def test_a_method_that_no_route_has_is_told_which_there_are(api):
    for path, allowed in (("/v1/models", "GET, POST"), (f"/v1/models/mdl_{'0' * 26}", "DELETE, GET, POST")):
        response = api.http.put(path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed)
        assert response.headers["content-type"] == "application/problem+json"
    assert api.http.get(f"/v1/models/mdl_{'0' * 26}/predict").headers["allow"] == "POST"


def test_it_is_served(api):
    response: httpx.Response = api.http.get("/openapi.json")
    assert response.json() == json.loads(SNAPSHOT.read_text())


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(describe(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
