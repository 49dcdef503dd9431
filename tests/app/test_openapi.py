"""The API's description is under test: a change of it is made knowingly.

``python -m tests.app.test_openapi`` writes it anew.
"""

import json
from pathlib import Path
from typing import Any

import httpx

from app.core.settings import Settings
from app.main import create_app

SNAPSHOT = Path(__file__).with_name("openapi.json")


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
        "/v1/models/{model_id}": {"get", "delete"},
        "/v1/models/{model_id}/artifacts/{name}": {"get"},
        "/v1/models/{model_id}/predict": {"post"},
        "/v1/datasets": {"get", "post"},
        "/v1/datasets/{dataset_id}": {"get", "delete"},
        "/v1/methods": {"get"},
        "/v1/plans": {"post"},
        "/v1/jobs": {"get", "post"},
        "/v1/jobs/{job_id}": {"get"},
        "/v1/jobs/{job_id}/cancel": {"post"},
        "/v1/jobs/{job_id}/events": {"get"},
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


def test_it_is_served(api):
    response: httpx.Response = api.http.get("/openapi.json")
    assert response.json() == json.loads(SNAPSHOT.read_text())


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(describe(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
