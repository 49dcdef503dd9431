"""Names that stand for models, over HTTP."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from sqlalchemy import delete

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.endpoints import Endpoint, list_endpoints
from app.core.db.models import Model
from app.domain.documents.cascade import CascadePoint
from app.domain.documents.endpoint_target import EndpointTarget
from app.named_endpoints.service import set_endpoint
from tests.app.inference.conftest import Register, predict
from tests.app.jobs.shelf import ENCODER, add_model
from tests.processes import wait_until
from tests.tiny import tiny_examples

TEXT = "a wonderful film"
PATH = "/v1/endpoints/sentiment"
UNKNOWN = f"mdl_{'0' * 26}"

# What a name stands for is remembered for a moment.
pytestmark = pytest.mark.own_server


@pytest.fixture(autouse=True)
def without_endpoints(inference_database: Database) -> Iterator[None]:
    yield
    with inference_database.transaction() as session:
        session.execute(delete(Endpoint))


def put(client: httpx.Client, path: str = PATH, **target: Any) -> httpx.Response:
    return client.put(path, json=target)


def code_of(response: httpx.Response) -> str:
    code: str = response.json()["type"].rpartition(":")[2]
    return code


def test_a_name_answers_as_its_model_does(client: httpx.Client, register: Register) -> None:
    model = register()
    created = put(client, model=model)
    assert (created.status_code, created.headers["location"]) == (201, PATH)
    endpoint = created.json()
    assert (endpoint["object"], endpoint["name"], endpoint["model"]) == ("endpoint", "sentiment", model)
    assert (endpoint["precision"], endpoint["canary"], endpoint["earlier"]) == (None, None, [])
    assert client.get(PATH).json() == endpoint
    assert client.get("/v1/endpoints").json()["data"] == [endpoint]

    by_name = predict(client, "sentiment", TEXT)
    assert by_name.status_code == 200
    assert by_name.json() == predict(client, model, TEXT).json()
    int8 = predict(client, model, TEXT, precision="int8").json()
    assert int8 != by_name.json()
    assert predict(client, "sentiment", TEXT, precision="int8").json() == int8

    assert client.delete(PATH).status_code == 204
    assert client.get(PATH).status_code == 404
    assert client.get(f"/v1/models/{model}").status_code == 200


def test_the_precision_of_an_endpoint_is_for_requests_that_name_none(
    client: httpx.Client, register: Register
) -> None:
    model = register()
    put(client, model=model, precision="int8")
    fp32, int8 = (predict(client, model, TEXT, precision=p).json() for p in ("fp32", "int8"))
    assert predict(client, "sentiment", TEXT).json() == int8
    assert predict(client, "sentiment", TEXT, precision="fp32").json() == fp32


def test_other_protocols_know_the_name(client: httpx.Client, server_url: str, register: Register) -> None:
    put(client, "/v1/endpoints/vectors", model=register(task="sentence_embedding"))
    with openai.OpenAI(base_url=f"{server_url}/v1", api_key="none") as other:
        found = other.embeddings.create(model="vectors", input=TEXT)
    assert len(found.data) == 1


def test_a_move_and_a_rollback_reach_clients(client: httpx.Client, register: Register, app: FastAPI) -> None:
    app.state.inference.freshness.trusted_s = 0.05
    first, second = register(), register(exports=("int8",))
    answers = {model: predict(client, model, TEXT).json() for model in (first, second)}
    assert answers[first] != answers[second]

    def answers_as(model: str) -> Callable[[], bool]:
        return lambda: predict(client, "sentiment", TEXT).json() == answers[model]

    put(client, model=first)
    wait_until(answers_as(first), timeout_s=5)
    moved = put(client, model=second)
    assert moved.status_code == 200
    nothing_else = {"precision": None, "canary": None, "fallback": None, "shadow": None}
    assert moved.json()["earlier"] == [{"model": first, **nothing_else}]
    assert put(client, model=second).json() == moved.json(), "nothing changed"
    wait_until(answers_as(second), timeout_s=5)

    back = client.post(f"{PATH}/rollback")
    assert (back.status_code, back.json()["model"], back.json()["earlier"]) == (200, first, [])
    wait_until(answers_as(first), timeout_s=5)
    again = client.post(f"{PATH}/rollback")
    assert (again.status_code, code_of(again)) == (409, "nothing_to_roll_back_to")


def test_a_canary_answers_its_share(client: httpx.Client, register: Register) -> None:
    model, canary = register(), register(exports=("int8",))
    put(client, model=model, canary={"model": canary, "share": 0.3})
    answers = Counter(predict(client, "sentiment", TEXT).text for _ in range(200))
    assert len(answers) == 2
    assert 25 < answers[predict(client, canary, TEXT).text] < 100  # within 5 standard errors of 60


def test_a_model_stays_while_an_endpoint_needs_it(client: httpx.Client, register: Register) -> None:
    model, canary, other = register(), register(), register()
    put(client, model=model, canary={"model": canary, "share": 0.5})
    for needed in (model, canary):
        refused = client.delete(f"/v1/models/{needed}")
        assert (refused.status_code, code_of(refused)) == (409, "model_in_use")
        assert "'sentiment'" in refused.json()["detail"]
    put(client, model=other)
    assert client.delete(f"/v1/models/{canary}").status_code == 204
    refused = client.post(f"{PATH}/rollback")
    assert (refused.status_code, code_of(refused)) == (409, "earlier_model_deleted")
    assert client.get(PATH).json()["model"] == other


def test_what_cannot_be_pointed_at(client: httpx.Client, register: Register) -> None:
    model = register(exports=("fp32",))
    put(client, model=model)
    refusals = {
        (404, "model_not_found"): {"model": UNKNOWN},
        (409, "model_not_servable"): {"model": register(exports=())},
        (409, "another_task"): {"model": register(task="token_classification")},
        (422, "precision_not_available"): {"model": model, "precision": "int8"},
        (422, "invalid_request"): {"model": model, "canary": {"model": model, "share": 1}},
    }
    for (status, code), target in refusals.items():
        refused = put(client, **target)
        assert (refused.status_code, code_of(refused)) == (status, code), refused.text
    assert client.get(PATH).json()["model"] == model
    for name in (UNKNOWN, "Sentiment", "-", "a" * 64, "a%2Fb"):
        assert put(client, f"/v1/endpoints/{name}", model=model).status_code in (404, 422)
    unknown = predict(client, "nobody", TEXT)
    assert (unknown.status_code, code_of(unknown)) == (404, "endpoint_not_found")


def test_a_teacher_answers_where_its_student_is_not_sure(
    client: httpx.Client, register: Register, inference_database: Database, app: FastAPI
) -> None:
    app.state.inference.freshness.trusted_s = 0.05

    def counts() -> list[float]:
        labels = {"project": DEFAULT_PROJECT, "endpoint": "sentiment"}
        name = "squeeze_predict_cascade_texts_total"
        found = [
            REGISTRY.get_sample_value(name, labels | {"answered_by": who}) for who in ("student", "fallback")
        ]
        return [value or 0.0 for value in found]

    teacher, student, stranger = register(exports=("int8",)), register(), register()
    texts = [example["text"] for example in tiny_examples(12)]
    alone = {model: predict(client, model, texts).json() for model in (teacher, student)}
    confidences = sorted(labels[0]["score"] for labels in alone[student])
    assert confidences[0] < confidences[-1]
    middle = confidences[6]
    points = [
        CascadePoint(threshold=0, share=1, metric=0.8),
        CascadePoint(threshold=middle, share=0.5, metric=0.95),
        CascadePoint(threshold=1.01, share=0, metric=0.96),
    ]
    cascade = {"teacher_metric": 0.96, "points": [point.model_dump() for point in points]}
    with inference_database.transaction() as session:
        row = session.get_one(Model, student)
        row.teacher_id = teacher
        exports = row.manifest_json["exports"]
        row.manifest_json = {
            **row.manifest_json,
            "exports": {**exports, "fp32": {**exports["fp32"], "cascade": cascade}},
        }

    created = put(client, model=student, fallback={"model": teacher, "retain": 0.98})
    assert created.status_code == 201, created.text
    assert created.json()["fallback"] == {"model": teacher, "precision": None, "retain": 0.98}

    def is_mixed() -> bool:
        return len({answer[0]["model"] for answer in predict(client, "sentiment", texts).json()}) == 2

    wait_until(is_mixed, timeout_s=5)
    before = counts()
    answers = predict(client, "sentiment", texts).json()
    for number, answer in enumerate(answers):
        who = student if alone[student][number][0]["score"] >= middle else teacher
        assert answer == [{**label, "model": who} for label in alone[who][number]]
    assert {answer[0]["model"] for answer in answers} == {student, teacher}
    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [6, 6]
    for function in ("none", "sigmoid"):  # whatever scores are shown
        others = predict(client, "sentiment", texts, function_to_apply=function).json()
        assert [answer[0]["model"] for answer in others] == [answer[0]["model"] for answer in answers]
    classified = client.post("/v1/classify", json={"model": "sentiment", "input": texts}).json()["data"]
    assert [item["model"] for item in classified] == [answer[0]["model"] for answer in answers]
    assert [item["label"] for item in classified] == [answer[0]["label"] for answer in answers]

    put(client, model=student, fallback={"model": teacher, "retain": 0.5})
    assert client.delete(f"/v1/models/{teacher}").status_code == 409
    for fallback in ({"model": stranger}, {"model": teacher, "precision": "int8"}):
        unmeasured = put(client, model=student, precision="int8", fallback=fallback)
        assert (unmeasured.status_code, code_of(unmeasured)) == (409, "cascade_not_measured")


@pytest.fixture
def classifiers(database: Database) -> list[str]:
    """Two models that are registered, and have no files."""
    shelf = SimpleNamespace(database=database)
    return [add_model(shelf, ENCODER, "text_classification", exports=["fp32"]) for _ in range(2)]


def test_changes_at_once_make_one_endpoint(database: Database, classifiers: list[str]) -> None:
    project = database.of(DEFAULT_PROJECT)

    def change(number: int) -> bool:
        with project.transaction() as session:
            return set_endpoint(session, "busy", EndpointTarget(model=classifiers[number % 2]))[1]

    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(change, range(16)))
    assert created.count(True) == 1
    with project.reading() as session:
        [endpoint] = list_endpoints(session, limit=10)
        assert 1 <= len(endpoint.earlier) <= 15
