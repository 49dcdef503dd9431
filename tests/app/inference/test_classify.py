"""Labels as the clients of vLLM and SGLang ask for them, and models as OpenAI's client lists them."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import LABELS

TEXTS = ["the film was wonderful", "a dull and boring story with a river"]


@pytest.fixture
def openai_client(server_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server_url}/v1", api_key="none", max_retries=0) as client:
        yield client


def classify(client: openai.OpenAI, **body: Any) -> dict[str, Any]:
    return client.post("/classify", body=body, cast_to=dict)


def scores_of(entries: list[dict[str, Any]]) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in entries}


def test_probabilities_are_those_of_predict_in_the_order_of_the_labels(
    openai_client: openai.OpenAI, client: httpx.Client, register: Register
) -> None:
    model_id = register()
    expected = predict(client, model_id, TEXTS).json()
    answer = classify(openai_client, model=model_id, input=TEXTS)
    assert (answer["object"], answer["model"]) == ("list", model_id)
    assert answer["created"] > 1.7e9
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > len(" ".join(TEXTS).split())
    for index, (item, entries) in enumerate(zip(answer["data"], expected, strict=True)):
        scores = scores_of(entries)
        assert item["probs"] == pytest.approx([scores[label] for label in LABELS])
        assert (item["index"], item["label"]) == (index, entries[0]["label"])
        assert item["num_classes"] == len(LABELS)
        assert "labels" not in item
    [alone] = classify(openai_client, model=model_id, input=TEXTS[0])["data"]
    assert alone["probs"] == pytest.approx(answer["data"][0]["probs"], abs=1e-4)


def test_of_several_labels_those_that_apply(
    openai_client: openai.OpenAI, client: httpx.Client, register: Register
) -> None:
    model_id = register(task="multi_label_classification", thresholds=[0.0, 0.0, 2.0])
    [entries] = predict(client, model_id, TEXTS[0]).json()
    [item] = classify(openai_client, model=model_id, input=TEXTS[0])["data"]
    assert item["probs"] == pytest.approx([scores_of(entries)[label] for label in LABELS])
    assert set(item["labels"]) == {LABELS[0], LABELS[1]}


def test_what_is_wrong_is_said_as_the_client_reads_it(
    openai_client: openai.OpenAI, register: Register
) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="is of the task sentence_embedding") as caught:
        classify(openai_client, model=register(task="sentence_embedding"), input=TEXTS)
    assert (caught.value.code, caught.value.param) == ("model_gives_no_labels", "model")
    with pytest.raises(openai.NotFoundError) as absent:
        classify(openai_client, model="mdl_" + "0" * 26, input=TEXTS)
    assert absent.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        classify(openai_client, model=register(), input=[1, 2])
    assert str(caught.value.param).startswith("input")


def test_models_are_listed_and_found(openai_client: openai.OpenAI, register: Register) -> None:
    older, newer = register(), register()
    listed = list(openai_client.models.list())
    assert [model.id for model in listed[:2]] == [newer, older]
    found = openai_client.models.retrieve(older)
    assert found.object == "model"
    assert found.created == listed[1].created > 1.7e9
    assert found.owned_by.startswith("prj_")
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("mdl_" + "0" * 26)
