"""Predictions as a client sees them, against a live server."""

import asyncio
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import torch
from fastapi import FastAPI
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from prometheus_client import REGISTRY
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.models import Model
from app.core.settings import Settings
from app.core.storage import Storage
from app.engine.encoder import OnnxEncoder
from app.inference.protocols.huggingface import schemas
from app.inference.protocols.parameters import PARAMETERS
from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import LABELS, MAX_LENGTH
from tests.processes import wait_until
from tests.tiny import tiny_examples

TEXTS = [example["text"] for example in tiny_examples(40)]


def scores_of(answer: list[dict[str, Any]]) -> dict[str, float]:
    return {score["label"]: score["score"] for score in answer}


def torch_scores(folder: Any, text: str, pair: str | None = None) -> dict[str, float]:
    """The same answer by another way: one text, the torch network, no padding."""
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    encoding = tokenizer.encode(text, pair)
    inputs = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask}
    if getattr(network.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = encoding.type_ids
    with torch.no_grad():
        logits = network(**{name: torch.tensor([values]) for name, values in inputs.items()}).logits
    return dict(zip(LABELS, torch.softmax(logits[0], 0).tolist(), strict=True))


class TestAnswers:
    @pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
    def test_equal_the_torch_network(
        self, client: httpx.Client, register: Register, exported_folder: Any, family: str
    ) -> None:
        model_id = register(family)
        long = " ".join(TEXTS)
        inputs = [
            *TEXTS[:6],
            long,
            {"text": TEXTS[6], "text_pair": TEXTS[7]},
            {"text": TEXTS[8]},
            {"text": TEXTS[8], "text_pair": None},
        ]

        answers = predict(client, model_id, inputs).json()

        assert len(answers) == len(inputs)
        for asked, answer in zip(inputs, answers, strict=True):
            text, pair = (asked, None) if isinstance(asked, str) else (asked["text"], asked.get("text_pair"))
            expected = torch_scores(exported_folder(family), text, pair)
            assert scores_of(answer) == pytest.approx(expected, abs=1e-4)
        spread = [scores_of(answer)["good"] for answer in answers]
        assert max(spread) - min(spread) > 0.01  # else any order of answers would pass

    def test_of_one_text_are_nested_too(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        alone = predict(client, model_id, TEXTS[0]).json()
        assert len(alone) == 1
        assert alone == predict(client, model_id, [TEXTS[0]]).json()
        assert alone == predict(client, model_id, {"text": TEXTS[0]}).json()

    def test_come_best_first_and_sum_to_one(self, client: httpx.Client, register: Register) -> None:
        (answer,) = predict(client, register(), TEXTS[0]).json()
        scores = [score["score"] for score in answer]
        assert sorted(scores_of(answer)) == sorted(LABELS)
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-9)

    def test_top_k_keeps_the_best(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        (whole,) = predict(client, model_id, TEXTS[0]).json()
        assert predict(client, model_id, TEXTS[0], top_k=2).json() == [whole[:2]]
        assert predict(client, model_id, TEXTS[0], top_k=99).json() == [whole]

    def test_a_pair_is_not_two_texts(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        pair = predict(client, model_id, {"text": TEXTS[0], "text_pair": TEXTS[1]}).json()
        both = predict(client, model_id, [TEXTS[0], TEXTS[1]]).json()
        assert len(pair) == 1
        assert len(both) == 2
        assert pair[0] not in both

    def test_int8_is_another_file(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        fp32, int8 = (
            predict(client, model_id, TEXTS[0], precision=precision).json()[0]
            for precision in ("fp32", "int8")
        )
        assert predict(client, model_id, TEXTS[0]).json()[0] == fp32
        assert scores_of(int8) != scores_of(fp32)
        assert scores_of(int8) == pytest.approx(scores_of(fp32), abs=0.2)

    def test_int8_serves_where_it_is_all_there_is(self, client: httpx.Client, register: Register) -> None:
        both, alone = register(), register(exports=("int8",))
        expected = predict(client, both, TEXTS[0], precision="int8").json()
        assert predict(client, alone, TEXTS[0]).json() == expected

    def test_fp32_does_not_depend_on_what_else_is_asked(
        self, client: httpx.Client, register: Register
    ) -> None:
        model_id = register()
        alone = [predict(client, model_id, text).json()[0] for text in TEXTS]
        together = predict(client, model_id, TEXTS).json()
        for one, other in zip(alone, together, strict=True):
            assert scores_of(one) == pytest.approx(scores_of(other), abs=1e-6)

    def test_of_a_long_list_keep_its_order(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        texts = [TEXTS[i * 7 % len(TEXTS)] for i in range(1000)]
        by_text = {text: scores_of(predict(client, model_id, text).json()[0]) for text in TEXTS}
        for text, answer in zip(texts, predict(client, model_id, texts).json(), strict=True):
            assert scores_of(answer) == pytest.approx(by_text[text], abs=1e-6)

    def test_reach_the_client_who_asked(
        self, client: httpx.Client, server_url: str, register: Register
    ) -> None:
        model_id = register()
        expected = {text: scores_of(predict(client, model_id, text).json()[0]) for text in TEXTS}

        async def ask_often(number: int, session: httpx.AsyncClient) -> None:
            for step in range(15):
                count = 1 + (number + step) % 3
                asked = [TEXTS[(number * 5 + step * 3 + i) % len(TEXTS)] for i in range(count)]
                response = await session.post(f"/v1/models/{model_id}/predict", json={"inputs": asked})
                for text, answer in zip(asked, response.json(), strict=True):
                    assert scores_of(answer) == pytest.approx(expected[text], abs=1e-6)

        async def ask_together() -> None:
            async with httpx.AsyncClient(base_url=server_url) as session:
                await asyncio.gather(*(ask_often(number, session) for number in range(24)))

        asyncio.run(ask_together())


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "hint"),
        [
            ({"inputs": []}, "at least one"),
            ({"inputs": ["a"] * (schemas.MAX_INPUTS + 1)}, "1,024"),
            ({"inputs": ["a", 7]}, "input 1"),
            ({"inputs": ["a", {"text": 7}]}, "input 1"),
            ({"inputs": {"text": "a", "texts": "b"}}, "input 0"),
            ({"inputs": "a" * (schemas.MAX_CHARACTERS + 1)}, "100,000"),
            ({"inputs": None}, "input 0"),
            ({}, "inputs"),
            ({"inputs": "a", "parameter": {}}, "parameter"),
            ({"inputs": "a", "parameters": {"top_k": 0}}, "top_k"),
            ({"inputs": "a", "parameters": {"topk": 1}}, "topk"),
            ({"inputs": "a", "parameters": {"function_to_apply": "tanh"}}, "function_to_apply"),
            (["a"], "object"),
        ],
    )
    def test_of_a_bad_body_name_the_fault(
        self, client: httpx.Client, register: Register, body: Any, hint: str
    ) -> None:
        response = client.post(f"/v1/models/{register()}/predict", json=body)
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        assert hint in response.text

    @pytest.mark.parametrize("body", [b"", b"{", b'{"inputs": "\xff"}', b'{"inputs": "\\ud800"}'])
    def test_of_a_body_that_is_not_json(self, client: httpx.Client, register: Register, body: bytes) -> None:
        headers = {"content-type": "application/json"}
        response = client.post(f"/v1/models/{register()}/predict", content=body, headers=headers)
        assert response.status_code == 422
        assert "not valid JSON" in response.json()["detail"]

    def test_of_an_unknown_model(self, client: httpx.Client) -> None:
        response = predict(client, "mdl_0", "a")
        assert response.status_code == 404
        assert response.json()["type"].endswith("model_not_found")

    def test_of_a_model_without_export(self, client: httpx.Client, register: Register) -> None:
        response = predict(client, register(exports=()), "a")
        assert response.status_code == 409
        assert response.json()["type"].endswith("model_not_servable")
        assert "fine_tuning" in response.json()["detail"]

    def test_of_a_precision_that_the_model_lacks(self, client: httpx.Client, register: Register) -> None:
        model_id = register(exports=("fp32",))
        for precision in ("int8", "fp16"):
            response = predict(client, model_id, "a", precision=precision)
            assert response.status_code == 422
            assert response.json()["available"] == ["fp32"]
            assert response.json()["errors"][0]["pointer"] == "#/parameters/precision"

    @pytest.mark.own_server
    def test_of_a_damaged_file_name_it(
        self, client: httpx.Client, register: Register, storage: Storage, settings: Settings
    ) -> None:
        model_id = register()
        path = settings.data_dir / "files" / "models" / model_id / "model.fp32.onnx"
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        response = predict(client, model_id, "a")
        assert response.status_code == 503
        assert "model.fp32.onnx" in response.json()["detail"]
        copies = settings.data_dir / "inference-cache"
        assert not [copy for copy in copies.rglob("model.fp32*") if copy.is_file()]

    def test_of_other_methods(self, client: httpx.Client, register: Register) -> None:
        assert client.get(f"/v1/models/{register()}/predict").status_code == 405


class TestServerUnderStrain:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"inference_queue": 1100})

    def test_full_queue_is_answered_429_and_empties(
        self, client: httpx.Client, register: Register, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model_id = register()
        assert predict(client, model_id, TEXTS[0]).status_code == 200  # loaded
        many = [TEXTS[i % len(TEXTS)] for i in range(1000)]
        may_run, logits = threading.Event(), OnnxEncoder.logits

        def held_logits(encoder: OnnxEncoder, feed: Any) -> Any:
            assert may_run.wait(30)
            return logits(encoder, feed)

        monkeypatch.setattr(OnnxEncoder, "logits", held_logits)
        with ThreadPoolExecutor() as other_clients:
            admitted = other_clients.submit(predict, client, model_id, many)
            try:
                wait_until(lambda: REGISTRY.get_sample_value("squeeze_predict_waiting_texts") == len(many))
                refused = [predict(client, model_id, many) for _ in range(5)]
            finally:
                may_run.set()
            assert admitted.result().status_code == 200

        assert {response.status_code for response in refused} == {429}
        assert refused[0].headers["retry-after"] == "1"
        assert refused[0].json()["type"].endswith("prediction_queue_full")
        assert predict(client, model_id, many).status_code == 200

    def test_client_who_hangs_up_is_forgotten(
        self,
        client: httpx.Client,
        server_url: str,
        register: Register,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("app.inference.protocols.connection.PATIENCE_S", 0)
        model_id = register()
        assert predict(client, model_id, TEXTS[0]).status_code == 200
        body = json.dumps({"inputs": [" ".join(TEXTS)] * 1000}).encode()
        path = f"/v1/models/{model_id}/predict"
        labels = {"method": "POST", "route": "/v1/models/{model_id}/predict", "status": "499"}
        labels["project"] = DEFAULT_PROJECT

        def gone() -> float:
            return REGISTRY.get_sample_value("squeeze_http_requests_total", labels) or 0

        before = gone()
        address = urlsplit(server_url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            headers = (
                f"host: {address.netloc}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            )
            connection.sendall(f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body)
        wait_until(lambda: gone() == before + 1)
        assert REGISTRY.get_sample_value("squeeze_predict_waiting_texts") == 0
        assert predict(client, model_id, TEXTS[0]).status_code == 200


@pytest.mark.own_server
class TestLifeOfAModel:
    def test_deleted_model_stops_answering(
        self,
        client: httpx.Client,
        register: Register,
        settings: Settings,
        app: FastAPI,
    ) -> None:
        app.state.inference.freshness.trusted_s = 0.05
        model_id = register()
        assert predict(client, model_id, TEXTS[0]).status_code == 200
        assert client.delete(f"/v1/models/{model_id}").status_code == 204
        wait_until(lambda: predict(client, model_id, TEXTS[0]).status_code == 404, timeout_s=2)
        assert not [path for path in (settings.data_dir / "inference-cache").rglob("*") if path.is_file()]

    def test_export_added_later_is_served(
        self,
        client: httpx.Client,
        register: Register,
        inference_database: Database,
        app: FastAPI,
    ) -> None:
        app.state.inference.freshness.trusted_s = 0.05
        model_id, other = register(exports=()), register()
        assert predict(client, model_id, TEXTS[0]).status_code == 409
        with inference_database.transaction() as session:
            donor = session.get_one(Model, other).manifest_json
            model = session.get_one(Model, model_id)
            model.manifest_json = {**model.manifest_json, "exports": donor["exports"]}
        wait_until(lambda: predict(client, model_id, TEXTS[0]).status_code == 200, timeout_s=2)


class TestClientsOfOthers:
    def test_hugging_face_client_reads_the_answer(self, server_url: str, register: Register) -> None:
        model_id = register()
        hub = InferenceClient(model=f"{server_url}/v1/models/{model_id}/predict")
        labels = hub.text_classification(TEXTS[0])
        assert sorted(label.label for label in labels) == sorted(LABELS)
        best = hub.text_classification(TEXTS[0], top_k=1, function_to_apply="softmax")
        assert best == labels[:1]

    def test_hugging_face_client_shows_the_error(self, server_url: str) -> None:
        hub = InferenceClient(model=f"{server_url}/v1/models/mdl_0/predict")
        with pytest.raises(HfHubHTTPError) as caught:
            hub.text_classification("a")
        assert caught.value.server_message == "There is no model 'mdl_0'."


def test_openapi_describes_the_route(app: FastAPI) -> None:
    document = app.openapi()
    schemas = document["components"]["schemas"]
    operation = document["paths"]["/v1/models/{model_id}/predict"]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    request = schemas[reference.rpartition("/")[2]]["properties"]
    assert "inputs" in request
    parameters = [
        choice["$ref"].rpartition("/")[2] for choice in request["parameters"]["anyOf"] if "$ref" in choice
    ]
    assert parameters == [class_.__name__ for class_ in PARAMETERS.values()]
    assert set(parameters) <= set(schemas)
    assert "application/problem+json" in operation["responses"]["429"]["content"]
