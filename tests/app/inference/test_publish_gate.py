"""A student that misses its gate answers nobody until someone releases it."""

from typing import Any

import httpx
import pytest

from app.core.db import Database
from app.core.db.audit import list_entries
from app.core.db.models import Model
from app.domain.documents.gate import Gate, GateFailure, GateResult
from tests.app.inference.conftest import Register, predict

TEXT = "a wonderful film"
MISSED = GateResult(
    split="test",
    metric="accuracy",
    conditions=Gate(max_drop=0.01),
    failures=[
        GateFailure(condition="max_drop", model="onnx_int8", required=0.01, measured=0.03, missed_by=0.02)
    ],
)
WITHHELD = "urn:squeeze:problem:model_withheld"
WHY = (
    "The drop in accuracy from the teacher to its int8 file on test is 0.0300; gate.max_drop is 0.01, which "
    "it misses by 0.0200."
)


@pytest.fixture
def model(register: Register, inference_database: Database) -> str:
    model_id = register()
    with inference_database.transaction() as session:
        row = session.get(Model, model_id)
        row.manifest_json = row.manifest.model_copy(update={"gate": MISSED}).to_stored()
    return model_id


def asked_everywhere(client: httpx.Client, model: str) -> dict[str, httpx.Response]:
    """In every protocol, by the model's id."""
    infer = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}]}
    return {
        "own": predict(client, model, TEXT),
        "hugging face": client.post(f"/v1/models/{model}", json={"inputs": TEXT}),
        "kserve": client.post(f"/v2/models/{model}/infer", json=infer),
        "kserve ready": client.get(f"/v2/models/{model}/ready"),
        "openai": client.post("/v1/classify", json={"model": model, "input": TEXT}),
    }


def test_no_protocol_answers_until_it_is_released(client: httpx.Client, model: str) -> None:
    for protocol, response in asked_everywhere(client, model).items():
        problem = response.json()
        assert (response.status_code, problem["type"]) == (409, WITHHELD), protocol
        assert WHY in problem["detail"]
        assert f"POST /v1/models/{model}/release" in problem["detail"]
    refused = client.put("/v1/endpoints/sentiment", json={"model": model})
    assert (refused.status_code, refused.json()["type"]) == (409, WITHHELD)
    assert client.get(f"/v1/models/{model}").json()["gate"]["failures"][0]["missed_by"] == 0.02

    released = client.post(f"/v1/models/{model}/release", json={"reason": "int8 is not used"})
    assert released.status_code == 200
    release = released.json()["gate"]["release"]
    assert (release["by"], release["reason"]) == ("loopback", "int8 is not used")
    for protocol, response in asked_everywhere(client, model).items():
        assert response.status_code == 200, protocol
    assert client.put("/v1/endpoints/sentiment", json={"model": model}).status_code == 201
    assert client.delete("/v1/endpoints/sentiment").status_code == 204


def test_a_release_is_in_the_audit_log(
    client: httpx.Client, model: str, inference_database: Database
) -> None:
    client.post(f"/v1/models/{model}/release", json={"reason": "looked at by hand"})
    with inference_database.reading() as session:
        entry = list_entries(session, limit=1)[0]
    assert (entry.action, entry.target, entry.change) == ("releaseModel", model, "updated")


@pytest.mark.parametrize("body", [{}, {"reason": " "}, {"reason": "x" * 1001}, {"reason": "x", "for": "me"}])
def test_a_release_needs_a_reason(client: httpx.Client, model: str, body: dict[str, Any]) -> None:
    assert client.post(f"/v1/models/{model}/release", json=body).status_code == 422
    assert predict(client, model, TEXT).status_code == 409


def test_only_a_model_that_is_withheld_can_be_released(client: httpx.Client, register: Register, model: str):
    served = register()
    for model_id in (served, model):
        client.post(f"/v1/models/{model}/release", json={"reason": "first"})
        again = client.post(f"/v1/models/{model_id}/release", json={"reason": "second"})
        assert (again.status_code, again.json()["type"]) == (409, "urn:squeeze:problem:model_not_withheld")
    assert client.get(f"/v1/models/{model}").json()["gate"]["release"]["reason"] == "first"


def test_a_list_of_models_says_which_are_withheld(client: httpx.Client, model: str) -> None:
    index = client.post("/v2/repository/index").json()
    [listed] = [one for one in index if one["name"] == model]
    assert WHY in listed["reason"]
