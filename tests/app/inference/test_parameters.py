"""Parameters of each task, and what becomes of those of another."""

import httpx
import pytest

from app.domain.tasks import Task
from app.inference.protocols.parameters import PARAMETERS
from tests.app.inference.conftest import Register, predict

FOREIGN: dict[Task, list[str]] = {
    "text_classification": ["num_beams", "aggregation_strategy", "targets"],
    "text_regression": ["top_k", "num_beams"],
    "token_classification": ["top_k", "function_to_apply"],
    "masked_language_modeling": ["function_to_apply", "max_new_tokens"],
    "translation": ["top_k", "src_lang", "temperature"],
}


@pytest.mark.parametrize("task", FOREIGN)
def test_of_another_task_are_refused_by_name(client: httpx.Client, register: Register, task: Task) -> None:
    model_id = register(task=task)
    for name in FOREIGN[task]:
        response = predict(client, model_id, "the [MASK]", **{name: 1})
        assert response.status_code == 422
        problem = response.json()
        assert problem["type"].endswith("unknown_parameter")
        assert f"Unknown parameter '{name}' for {task}" in problem["detail"]
        assert problem["known"] == sorted(PARAMETERS[task].model_fields)
        assert problem["errors"][0]["pointer"] == f"#/parameters/{name}"


@pytest.mark.parametrize(
    ("task", "name", "value"),
    [
        ("translation", "num_beams", 9),
        ("translation", "num_beams", 0),
        ("translation", "length_penalty", -1),
        ("translation", "max_new_tokens", 0),
        ("masked_language_modeling", "top_k", 0),
        ("masked_language_modeling", "targets", []),
        ("token_classification", "ignore_labels", "O"),
        ("text_regression", "function_to_apply", "softmax"),
        ("multi_label_classification", "function_to_apply", "tanh"),
        ("token_classification", "stride", -1),
        ("text_classification", "truncation", False),
        ("translation", "truncation", "do_not_truncate"),
    ],
)
def test_out_of_bounds_are_refused(
    client: httpx.Client, register: Register, task: Task, name: str, value: object
) -> None:
    response = predict(client, register(task=task), "the [MASK]", **{name: value})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == f"#/parameters/{name}"


def test_must_be_an_object(client: httpx.Client, register: Register) -> None:
    response = client.post(f"/v1/models/{register()}/predict", json={"inputs": "a", "parameters": ["top_k"]})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "#/parameters"
