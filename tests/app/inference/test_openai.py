"""Vectors as the clients of OpenAI's API ask for them, with OpenAI's own client."""

from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest

from tests.app.inference.conftest import Register, predict
from tests.tiny import tiny_examples

TEXTS = [example["text"] for example in tiny_examples(3)]


@pytest.fixture
def openai_client(server_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server_url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def model_id(register: Register) -> str:
    return register(task="sentence_embedding")


def test_vectors_are_those_of_predict(
    openai_client: openai.OpenAI, client: httpx.Client, model_id: str
) -> None:
    expected = predict(client, model_id, TEXTS).json()
    as_bytes = openai_client.embeddings.create(model=model_id, input=TEXTS)  # the client asks for base64
    as_numbers = openai_client.embeddings.create(model=model_id, input=TEXTS, encoding_format="float")
    for answer in (as_bytes, as_numbers):
        assert [item.index for item in answer.data] == [0, 1, 2]
        np.testing.assert_allclose([item.embedding for item in answer.data], expected, rtol=1e-6)
        assert answer.model == model_id
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(TEXTS)


def test_one_text_in_fewer_dimensions(openai_client: openai.OpenAI, model_id: str) -> None:
    whole = openai_client.embeddings.create(model=model_id, input=TEXTS[0]).data[0].embedding
    [part] = openai_client.embeddings.create(model=model_id, input=TEXTS[0], dimensions=8).data
    np.testing.assert_allclose(part.embedding, np.array(whole[:8]) / np.linalg.norm(whole[:8]), rtol=1e-5)


def test_what_is_wrong_is_said_as_the_client_reads_it(
    openai_client: openai.OpenAI, model_id: str, register: Register
) -> None:
    create = openai_client.embeddings.create
    with pytest.raises(openai.UnprocessableEntityError, match="holds token ids") as caught:
        create(model=model_id, input=[[15339, 1917]])
    assert caught.value.param == "input"
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        create(model=model_id, input=TEXTS, dimensions=33)
    assert (caught.value.code, caught.value.param) == ("too_many_dimensions", "dimensions")
    with pytest.raises(openai.UnprocessableEntityError, match="is of the task text_classification") as caught:
        create(model=register(), input=TEXTS)
    assert caught.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        create(model="mdl_" + "0" * 26, input=TEXTS)
    with pytest.raises(openai.UnprocessableEntityError):
        create(model=model_id, input=[])


class TestRerank:
    QUERY, DOCUMENTS = TEXTS[0], [*TEXTS[1:], TEXTS[0]]

    def test_the_best_come_first(self, client: httpx.Client, register: Register) -> None:
        model_id = register(task="text_regression", is_pair=True)
        pairs = [{"text": self.QUERY, "text_pair": text} for text in self.DOCUMENTS]
        scores = [answer[0]["score"] for answer in predict(client, model_id, pairs).json()]
        body = {"model": model_id, "query": self.QUERY, "documents": self.DOCUMENTS}
        answer = client.post("/v1/rerank", json=body).json()
        order = sorted(range(3), key=lambda index: -scores[index])
        assert [result["index"] for result in answer["results"]] == order
        assert [result["relevance_score"] for result in answer["results"]] == [scores[i] for i in order]
        changes = {
            "documents": [{"text": text} for text in self.DOCUMENTS],
            "top_n": 1,
            "return_documents": True,
        }
        [best] = client.post("/v1/rerank", json=body | changes).json()["results"]
        assert best == {**answer["results"][0], "document": {"text": self.DOCUMENTS[order[0]]}}

    def test_other_models_are_refused(self, client: httpx.Client, register: Register) -> None:
        for model_id in (register(), register(task="text_regression", is_pair=False)):
            body = {"model": model_id, "query": self.QUERY, "documents": self.DOCUMENTS}
            problem = client.post("/v1/rerank", json=body)
            assert (problem.status_code, problem.json()["error"]["param"]) == (422, "model")
            assert problem.json()["error"]["code"] == "model_ranks_no_pairs"
