"""Every task through Hugging Face's own client, and what its users send beside inputs."""

import gzip
import json
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from app.domain.tasks import Task
from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import LABELS
from tests.tiny import tiny_examples

TEXTS = [example["text"] for example in tiny_examples(4)]
QUESTION = {"question": "the one", "context": TEXTS[0]}
FORMS = ("v1/models/{}", "models/{}")


def body_of(answer: Any) -> Any:
    """A client's objects as the JSON that they were made of."""
    if isinstance(answer, list):
        return [body_of(item) for item in answer]
    return {name: value for name, value in vars(answer).items() if value is not None}


@pytest.mark.parametrize("form", FORMS)
def test_every_task(client: httpx.Client, server_url: str, register: Register, form: str) -> None:
    ids: dict[Task, str] = {}

    def hub(task: Task) -> InferenceClient:
        ids[task] = register(task=task)
        return InferenceClient(base_url=f"{server_url}/{form.format(ids[task])}")

    def answered(task: Task, inputs: Any, **parameters: Any) -> Any:
        return predict(client, ids[task], inputs, **parameters).raise_for_status().json()

    for task in ("text_classification", "multi_label_classification", "text_regression"):
        labels = hub(task).text_classification(TEXTS[0])
        found = answered(task, TEXTS[0])[0]
        assert [(one.label, one.score) for one in labels] == [(one["label"], one["score"]) for one in found]
    tagger = hub("token_classification")
    for strategy in ("none", "simple", "first", "average", "max"):
        entities = tagger.token_classification(TEXTS[0], aggregation_strategy=strategy, stride=None)
        assert body_of(entities) == answered("token_classification", TEXTS[0], aggregation_strategy=strategy)
    assert body_of(tagger.token_classification(TEXTS[0])) == answered("token_classification", TEXTS[0])
    fills = hub("masked_language_modeling").fill_mask("the [MASK] was dull", top_k=2)
    assert body_of(fills) == answered("masked_language_modeling", "the [MASK] was dull", top_k=2)
    answer = hub("question_answering").question_answering(**QUESTION)
    assert body_of(answer) == answered("question_answering", QUESTION)
    written = hub("translation").translation(TEXTS[0], truncation="only_first")
    assert [body_of(written)] == answered("translation", TEXTS[0])
    embedder = hub("sentence_embedding")
    vectors = embedder.feature_extraction(TEXTS[0], normalize=True, truncate=True)
    np.testing.assert_allclose(vectors, answered("sentence_embedding", TEXTS[0], normalize=True), rtol=1e-6)
    cosines = embedder.sentence_similarity(TEXTS[0], other_sentences=TEXTS)
    expected = np.array(answered("sentence_embedding", TEXTS, normalize=True))
    np.testing.assert_allclose(cosines, expected @ expected[0], rtol=1e-5)


class TestSimilarity:
    def test_is_the_number_of_a_model_of_pairs(
        self, client: httpx.Client, server_url: str, register: Register
    ) -> None:
        model_id = register(task="text_regression", is_pair=True)
        hub = InferenceClient(model=f"{server_url}/models/{model_id}")
        numbers = hub.sentence_similarity(TEXTS[0], other_sentences=TEXTS[1:])
        answers = predict(client, model_id, [[TEXTS[0], other] for other in TEXTS[1:]]).json()
        assert numbers == pytest.approx([answer[0]["score"] for answer in answers], rel=1e-6)

    def test_is_no_answer_of_other_models(self, client: httpx.Client, register: Register) -> None:
        inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
        for model_id in (register(), register(task="text_regression", is_pair=False)):
            problem = predict(client, model_id, inputs)
            assert (problem.status_code, problem.json()["errors"][0]["pointer"]) == (422, "#/inputs")

    def test_of_other_things_is_refused(self, client: httpx.Client, register: Register) -> None:
        model_id = register(task="sentence_embedding")
        for inputs in [
            {"source_sentence": "a", "sentences": []},
            {"source_sentence": "a", "sentences": "b"},
            {"source_sentence": "a", "sentences": ["b", 1]},
            {"source_sentence": 1, "sentences": ["b"]},
            {"source_sentence": "a", "sentences": ["b"], "more": 1},
            {"source_sentence": "a", "sentences": ["b"] * 1024},
            {"source_sentence": "a", "sentences": ["b", "c" * 100_001]},
        ]:
            assert predict(client, model_id, inputs).status_code == 422


class TestInputs:
    def test_pairs_in_lists(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
        answer = predict(client, model_id, [[TEXTS[0], TEXTS[1]], [TEXTS[2]]]).json()
        assert answer == predict(client, model_id, [pair, TEXTS[2]]).json()
        assert predict(client, model_id, [["a", "b", "c"]]).status_code == 422
        assert predict(client, model_id, [["a", None]]).status_code == 422

    def test_nothing_for_parameters_and_options(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        expected = predict(client, model_id, TEXTS[0]).json()
        options = {"wait_for_model": True, "use_cache": False}
        for more in ({"parameters": None, "options": None}, {"options": options}, {"options": {}}):
            answer = client.post(f"/models/{model_id}", json={"inputs": TEXTS[0], **more})
            assert answer.json() == expected
        answer = client.post(f"/models/{model_id}", json={"inputs": TEXTS[0], "options": {"use_wings": True}})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/options/use_wings")

    def test_ten_to_the_fifth_are_refused(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        answer = client.post(f"/models/{model_id}", json={"inputs": ["a"] * 10**5})
        assert answer.status_code == 422
        assert "100,000 inputs" in answer.json()["error"]
        headers = {"content-type": "application/json"}
        answer = client.post(f"/models/{model_id}", content=b'{"inputs": NaN}', headers=headers)
        assert answer.status_code == 422
        assert predict(client, model_id, TEXTS[0]).status_code == 200


class TestParameters:
    def test_without_effect_are_named(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        plain = predict(client, model_id, TEXTS[0])
        assert "x-ignored-parameters" not in plain.headers
        answer = predict(client, model_id, TEXTS[0], batch_size=8, padding=True, truncation=True)
        assert answer.headers["x-ignored-parameters"] == "batch_size, padding"
        assert answer.json() == plain.json()
        assert predict(client, model_id, TEXTS[0], batch_sizes=8).status_code == 422

    def test_function_to_apply(self, client: httpx.Client, register: Register) -> None:
        def scores(model_id: str, function: str | None) -> Any:
            [answer] = predict(client, model_id, TEXTS[0], function_to_apply=function).json()
            by_label = {label["label"]: label["score"] for label in answer}
            return np.array([by_label[label] for label in sorted(by_label)])

        for task, own in (("text_classification", "softmax"), ("multi_label_classification", "sigmoid")):
            model_id = register(task=task)
            logits = scores(model_id, "none")
            assert len(logits) == len(LABELS)
            odds = np.exp(logits)
            np.testing.assert_allclose(scores(model_id, "softmax"), odds / odds.sum(), rtol=1e-6)
            np.testing.assert_allclose(scores(model_id, "sigmoid"), odds / (1 + odds), rtol=1e-6)
            assert scores(model_id, None).tolist() == scores(model_id, own).tolist()
        model_id = register(task="text_regression")
        number = scores(model_id, "none")
        np.testing.assert_allclose(scores(model_id, "sigmoid"), 1 / (1 + np.exp(-number)), rtol=1e-6)
        assert scores(model_id, None) == number

    def test_labels_pass_by_their_probability(self, client: httpx.Client, register: Register) -> None:
        model_id = register(task="multi_label_classification", thresholds=[0.1, 0.5, 0.9])
        passes = []
        for function in ("sigmoid", "softmax", "none"):
            [answer] = predict(client, model_id, TEXTS[0], function_to_apply=function).json()
            passes.append({label["label"]: label["passes"] for label in answer})
        assert passes[0] == passes[1] == passes[2]


class TestPipelines:
    def test_are_those_of_the_task(self, client: httpx.Client, register: Register) -> None:
        model_id = register(task="sentence_embedding")
        inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS[:1]}
        for name, body in (("feature-extraction", TEXTS[0]), ("sentence-similarity", inputs)):
            answer = client.post(f"/models/{model_id}/pipeline/{name}", json={"inputs": body})
            assert answer.json() == predict(client, model_id, body).json()
        answer = client.post(f"/models/{model_id}/pipeline/fill-mask", json={"inputs": "a"})
        assert answer.status_code == 422
        assert "feature-extraction or sentence-similarity" in answer.json()["error"]


def packed(client: httpx.Client, model_id: str, body: bytes, coding: str) -> httpx.Response:
    headers = {"content-type": "application/json", "content-encoding": coding}
    return client.post(f"/models/{model_id}", content=body, headers=headers)


class TestPackedBodies:
    BODY = json.dumps({"inputs": TEXTS}).encode()

    def test_are_unpacked(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        expected = predict(client, model_id, TEXTS).json()
        for body, coding in (
            (gzip.compress(self.BODY), "gzip"),
            (gzip.compress(self.BODY[:9]) + gzip.compress(self.BODY[9:]), "GZIP"),
            (zlib.compress(self.BODY), "deflate"),
            (self.BODY, "identity"),
        ):
            assert packed(client, model_id, body, coding).json() == expected

    def test_are_never_unpacked_beyond_what_a_body_may_have(
        self, client: httpx.Client, register: Register
    ) -> None:
        model_id = register()
        members = gzip.compress(b" " * (8 << 20)) + gzip.compress(b" ")
        for bomb in (gzip.compress(b" " * (9 << 20)), members):
            answer = packed(client, model_id, bomb, "gzip")
            assert answer.status_code == 413
            assert "once it is unpacked" in answer.json()["error"]
        assert predict(client, model_id, TEXTS).status_code == 200

    def test_that_are_not_what_they_say(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        for body, coding, status in [
            (gzip.compress(self.BODY)[:-9], "gzip", 422),
            (gzip.compress(self.BODY) + b"more", "gzip", 422),
            (gzip.compress(b"") * 10_000 + gzip.compress(self.BODY), "gzip", 422),
            (self.BODY, "gzip", 422),
            (gzip.compress(self.BODY), "deflate", 422),
            (b"", "gzip", 422),
            (self.BODY, "br", 415),
            (gzip.compress(gzip.compress(self.BODY)), "gzip, gzip", 415),
        ]:
            answer = packed(client, model_id, body, coding)
            assert answer.status_code == status
            assert isinstance(answer.json()["error"], str)
            assert answer.headers.get("accept-encoding") == ("gzip, deflate" if status == 415 else None)


@pytest.mark.parametrize("form", FORMS)
def test_what_an_endpoint_is(server_url: str, register: Register, form: str) -> None:
    model_id = register()
    hub = InferenceClient(model=f"{server_url}/{form.format(model_id)}", provider="hf-inference")
    assert hub.health_check()
    info = hub.get_endpoint_info()
    assert (info["model_id"], info["task"], info["labels"]) == (model_id, "text_classification", LABELS)
    assert not hub.health_check(f"{server_url}/{form.format(register(exports=()))}")


def test_the_client_shows_what_is_wrong(server_url: str, register: Register) -> None:
    hub = InferenceClient(model=f"{server_url}/models/mdl_0")
    with pytest.raises(HfHubHTTPError) as caught:
        hub.text_classification("a")
    assert caught.value.server_message == "There is no model 'mdl_0'."
    hub = InferenceClient(model=f"{server_url}/models/{register(exports=())}")
    with pytest.raises(HfHubHTTPError, match="has no ONNX export"):
        hub.text_classification("a")
