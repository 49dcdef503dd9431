"""The Open Inference Protocol, driven by Triton's own client."""

import gzip
import json
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import REGISTRY

from app.domain.tasks import TASKS
from app.inference.protocols.kserve.signatures import OUTPUTS
from tests.app.inference.conftest import Register, predict
from tests.app.inference.kserve_requests import BAD_BYTES, BAD_REQUESTS, TEXTS, as_json, changed
from tests.app.inference.models import LABELS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of gevent
    from tritonclient import http as triton
    from tritonclient.utils import InferenceServerException

MASKED = [f"the [MASK] {text}" for text in TEXTS]


@pytest.fixture
def server(server_url: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server_url.removeprefix("http://")) as server:
        yield server


def tensor(name: str, texts: Any, *, binary: bool = True, column: bool = False) -> triton.InferInput:
    values = np.array([text.encode() for text in texts], dtype=object)
    if column:
        values = values[:, None]
    given = triton.InferInput(name, list(values.shape), "BYTES")
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def read(values: Any) -> list[str]:
    return [text.decode() for text in values.ravel()]


def told(values: Any) -> Any:
    """Numbers, or texts, which the client gives as bytes where they came as such."""
    if values.dtype != object:
        return values.tolist()
    return [text.decode() if isinstance(text, bytes) else text for text in values.ravel()]


class TestEveryTask:
    def ask(
        self, server: triton.InferenceServerClient, model_id: str, inputs: Any, **options: Any
    ) -> dict[str, Any]:
        """The outputs by their names, the same however tensors are sent."""
        names = [output["name"] for output in server.get_model_metadata(model_id)["outputs"]]
        found: list[dict[str, Any]] = []
        for binary in (True, False):
            given = [tensor(name, texts, binary=binary, column=binary) for name, texts in inputs.items()]
            wanted = None if binary else [triton.InferRequestedOutput(n, binary_data=False) for n in names]
            answer = server.infer(model_id, given, outputs=wanted, **options)
            found.append({name: answer.as_numpy(name) for name in names})
        for name in names:
            assert told(found[0][name]) == told(found[1][name])
            assert (found[0][name].dtype, found[0][name].shape) == (
                found[1][name].dtype,
                found[1][name].shape,
            )
        return found[0]

    def test_labels(
        self, server: triton.InferenceServerClient, client: httpx.Client, register: Register
    ) -> None:
        for task in ("text_classification", "multi_label_classification"):
            model_id = register(task=task)
            outputs = self.ask(server, model_id, {"text": TEXTS})
            answers = predict(client, model_id, TEXTS).json()
            assert read(outputs["label"]) == [answer[0]["label"] for answer in answers]
            np.testing.assert_allclose(
                outputs["score"], [answer[0]["score"] for answer in answers], rtol=1e-6
            )
            by_label = [{one["label"]: one for one in answer} for answer in answers]
            scores = [[row[label]["score"] for label in LABELS] for row in by_label]
            np.testing.assert_allclose(outputs["probabilities"], scores, rtol=1e-6)
            if task == "multi_label_classification":
                passes = [[row[label]["passes"] for label in LABELS] for row in by_label]
                assert outputs["passes"].tolist() == passes

    def test_pairs(
        self, server: triton.InferenceServerClient, client: httpx.Client, register: Register
    ) -> None:
        model_id = register(task="text_regression", is_pair=True)
        outputs = self.ask(server, model_id, {"text": TEXTS, "text_pair": TEXTS[::-1]})
        answers = predict(
            client, model_id, [list(pair) for pair in zip(TEXTS, TEXTS[::-1], strict=True)]
        ).json()
        np.testing.assert_allclose(outputs["score"], [answer[0]["score"] for answer in answers], rtol=1e-6)

    def test_entities(
        self, server: triton.InferenceServerClient, client: httpx.Client, register: Register
    ) -> None:
        model_id = register(task="token_classification")
        for strategy in ("first", "none"):
            parameters = {"aggregation_strategy": strategy}
            outputs = self.ask(server, model_id, {"text": TEXTS}, parameters=parameters)
            expected = predict(client, model_id, TEXTS, **parameters).json()
            assert [json.loads(text) for text in read(outputs["entities"])] == expected

    def test_fills(
        self, server: triton.InferenceServerClient, client: httpx.Client, register: Register
    ) -> None:
        model_id = register(task="masked_language_modeling")
        outputs = self.ask(server, model_id, {"text": MASKED}, parameters={"top_k": 4})
        expected = predict(client, model_id, MASKED, top_k=4).json()
        assert outputs["token"].shape == outputs["score"].shape == (3, 4)
        assert read(outputs["token"]) == [fill["token_str"] for fills in expected for fill in fills]
        assert read(outputs["sequence"]) == [fill["sequence"] for fills in expected for fill in fills]

    def test_answers(
        self, server: triton.InferenceServerClient, client: httpx.Client, register: Register
    ) -> None:
        model_id = register(task="question_answering")
        outputs = self.ask(server, model_id, {"question": ["the one"] * 3, "context": TEXTS})
        asked = [{"question": "the one", "context": text} for text in TEXTS]
        expected = predict(client, model_id, asked).json()
        assert read(outputs["answer"]) == [answer["answer"] for answer in expected]
        for name in ("start", "end"):
            assert outputs[name].tolist() == [answer[name] for answer in expected]

    def test_translations_and_vectors(
        self, server: triton.InferenceServerClient, client: httpx.Client, register: Register
    ) -> None:
        model_id = register(task="translation")
        outputs = self.ask(server, model_id, {"text": TEXTS}, parameters={"num_beams": 2})
        expected = predict(client, model_id, TEXTS, num_beams=2).json()
        assert read(outputs["translation"]) == [answer["translation_text"] for answer in expected]
        model_id = register(task="sentence_embedding")
        outputs = self.ask(server, model_id, {"text": TEXTS})
        np.testing.assert_allclose(outputs["embedding"], predict(client, model_id, TEXTS).json(), rtol=1e-6)
        assert server.get_model_metadata(model_id)["outputs"][0]["shape"] == [-1, 32]

    def test_has_outputs(self) -> None:
        assert {record.predictor for record in TASKS.values()} == OUTPUTS.keys()


class TestRequests:
    def test_some_outputs_and_an_id(self, server: triton.InferenceServerClient, register: Register) -> None:
        outputs = [triton.InferRequestedOutput("score"), triton.InferRequestedOutput("label")]
        answer = server.infer(
            register(), [tensor("text", TEXTS)], outputs=outputs, request_id="7", model_version="1"
        ).get_response()
        assert [output["name"] for output in answer["outputs"]] == ["score", "label"]
        assert (answer["id"], answer["model_version"]) == ("7", "1")

    def test_best_labels(self, server: triton.InferenceServerClient, register: Register) -> None:
        model_id = register()
        wanted = [
            triton.InferRequestedOutput("probabilities", class_count=2),
            triton.InferRequestedOutput("label"),
        ]
        answer = server.infer(model_id, [tensor("text", TEXTS)], outputs=wanted)
        best = answer.as_numpy("probabilities")
        assert best.shape == (3, 2)
        for text, label in zip(read(best[:, 0]), read(answer.as_numpy("label")), strict=True):
            score, index, name = text.split(":")
            assert (name, LABELS[int(index)]) == (label, label)
            assert 0 < float(score) < 1

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    def test_packed(self, server: triton.InferenceServerClient, register: Register, coding: str) -> None:
        model_id = register()
        one, other = (
            server.infer(model_id, [tensor("text", TEXTS)], request_compression_algorithm=name)
            for name in (None, coding)
        )
        assert one.as_numpy("probabilities").tolist() == other.as_numpy("probabilities").tolist()

    def test_precision(self, server: triton.InferenceServerClient, register: Register) -> None:
        model_id = register()
        one, other = (
            server.infer(model_id, [tensor("text", TEXTS)], parameters={"precision": precision})
            for precision in ("fp32", "int8")
        )
        assert one.as_numpy("score").tolist() != other.as_numpy("score").tolist()

    def test_parameters_without_effect_are_named(self, client: httpx.Client, register: Register) -> None:
        body = as_json(TEXTS, parameters={"priority": 1, "timeout": 10**6, "batch_size": 2})
        answer = client.post(f"/v2/models/{register()}/infer", json=body)
        assert answer.headers["x-ignored-parameters"] == "batch_size, priority"

    def test_as_clients_of_kserve_and_mlserver_write_them(
        self, client: httpx.Client, register: Register
    ) -> None:
        path, body = f"/v2/models/{(model_id := register())}/infer", as_json(TEXTS)
        expected = client.post(path, json=body).json()
        body["inputs"][0]["parameters"] = None
        body |= {"model_name": model_id, "id": None, "parameters": None, "outputs": None}
        assert client.post(path, json=body).json() == expected

    def test_a_pair_or_not(self, server: triton.InferenceServerClient, register: Register) -> None:
        model_id = register()
        [_, second] = server.get_model_metadata(model_id)["inputs"]
        assert second["parameters"] == {"optional": True}
        alone = server.infer(model_id, [tensor("text", TEXTS)]).as_numpy("score")
        paired = server.infer(model_id, [tensor("text", TEXTS), tensor("text_pair", TEXTS)]).as_numpy("score")
        assert alone.tolist() != paired.tolist()
        for is_pair in (True, False):
            inputs = server.get_model_metadata(register(is_pair=is_pair))["inputs"]
            assert [given["name"] for given in inputs] == (["text", "text_pair"] if is_pair else ["text"])


class TestServer:
    def test_health_and_metadata(self, server: triton.InferenceServerClient) -> None:
        assert server.is_server_live()
        assert server.is_server_ready()
        metadata = server.get_server_metadata()
        assert metadata["name"] == "squeeze"
        assert "binary_tensor_data" in metadata["extensions"]

    def test_models(self, server: triton.InferenceServerClient, register: Register) -> None:
        model_id, without = register(), register(exports=())
        assert server.is_model_ready(model_id)
        assert server.is_model_ready(model_id, "1")
        assert not server.is_model_ready(without)
        assert not server.is_model_ready("mdl_0")
        assert not server.is_model_ready(model_id, "2")
        metadata = server.get_model_metadata(model_id, "1")
        assert (metadata["name"], metadata["versions"]) == (model_id, ["1"])
        assert metadata["parameters"]["labels"] == LABELS
        listed = {model["name"]: model for model in server.get_model_repository_index()}
        assert (listed[model_id]["state"], listed[model_id]["reason"]) == ("READY", "")
        assert listed[without]["state"] == "UNAVAILABLE"
        assert "no ONNX export" in listed[without]["reason"]

    def test_an_endpoint_s_name(
        self, server: triton.InferenceServerClient, client: httpx.Client, register: Register
    ) -> None:
        model_id = register()
        client.put("/v1/endpoints/triton-s", json={"model": model_id}).raise_for_status()
        metadata = server.get_model_metadata("triton-s")
        assert (metadata["name"], metadata["parameters"]["model"]) == ("triton-s", model_id)
        answer = server.infer("triton-s", [tensor("text", TEXTS)])
        assert answer.get_response()["model_name"] == "triton-s"
        server.unload_model("triton-s")
        client.delete("/v1/endpoints/triton-s").raise_for_status()

    def test_only_ready_models(self, client: httpx.Client, register: Register) -> None:
        model_id, without = register(), register(exports=())
        models = client.post("/v2/repository/index", json={"ready": True}).json()
        assert model_id in {model["name"] for model in models}
        assert without not in {model["name"] for model in models}

    def test_loading(self, server: triton.InferenceServerClient, register: Register) -> None:
        def loaded() -> float:
            return REGISTRY.get_sample_value("squeeze_predict_loaded_models") or 0

        model_id, before = register(), loaded()
        server.load_model(model_id)
        assert loaded() == before + 1
        server.unload_model(model_id)
        assert loaded() == before
        assert server.is_model_ready(model_id)
        assert server.infer(model_id, [tensor("text", TEXTS)]).as_numpy("label").shape == (3,)

    def test_loading_another_precision(
        self, client: httpx.Client, server: triton.InferenceServerClient, register: Register
    ) -> None:
        path = f"/v2/repository/models/{register(exports=('fp32',))}/load"
        refused = client.post(path, json={"parameters": {"precision": "int8"}})
        assert refused.status_code == 400
        assert "available in fp32" in refused.json()["error"]
        with pytest.raises(InferenceServerException, match="There is no model"):
            server.load_model("mdl_0")
        with pytest.raises(InferenceServerException, match="config"):
            server.load_model("mdl_0", config="{}")

    def test_calls_that_are_not_here(self, server: triton.InferenceServerClient, register: Register) -> None:
        for call in (server.get_trace_settings, server.get_system_shared_memory_status):
            with pytest.raises(InferenceServerException, match="Not Found") as caught:
                call()
            assert caught.value.status() == "404"


"""Contents of a tensor, their sizes, the length of the JSON, and what is said of them."""


class TestRefusals:
    def test_of_a_request(self, client: httpx.Client, register: Register) -> None:
        path = f"/v2/models/{register()}/infer"
        for body, hint in BAD_REQUESTS:
            answer = client.post(path, json=body)
            assert answer.status_code == answer.json()["status"] == 400, hint
            assert hint in answer.json()["error"]
        assert client.post(path, json=as_json(TEXTS)).status_code == 200

    def test_of_bytes(self, client: httpx.Client, register: Register) -> None:
        path = f"/v2/models/{register()}/infer"
        for content, size, header, hint in BAD_BYTES:
            parameters = {"binary_data_size": size}
            given = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": parameters}
            json_part = json.dumps({"inputs": [given]}).encode()
            length = {"inference-header-content-length": header or str(len(json_part))}
            answer = client.post(path, content=json_part + content, headers=length)
            assert answer.status_code == 400, hint
            assert hint in answer.json()["error"]
        assert client.post(path, json=as_json(TEXTS)).status_code == 200

    def test_of_sizes_that_differ(self, server: triton.InferenceServerClient, register: Register) -> None:
        inputs = [tensor("question", ["a"]), tensor("context", TEXTS)]
        with pytest.raises(InferenceServerException, match="'question' has 1 elements and 'context' 3"):
            server.infer(register(task="question_answering"), inputs)
        with pytest.raises(InferenceServerException, match="'context' is missing"):
            server.infer(register(task="question_answering"), inputs[:1])

    def test_of_a_bomb_and_nan(self, client: httpx.Client, register: Register) -> None:
        model_id = register()
        path = f"/v2/models/{model_id}/infer"
        bomb = gzip.compress(b" " * (9 << 20))
        answer = client.post(path, content=bomb, headers={"content-encoding": "gzip"})
        assert answer.status_code == 413
        assert "once it is unpacked" in answer.json()["error"]
        nan = json.dumps(changed(data=[float("nan")], shape=[1]))
        assert client.post(path, content=nan).status_code == 400
        assert client.post(path, json=as_json(TEXTS)).status_code == 200

    def test_are_read_by_the_client(self, server: triton.InferenceServerClient, register: Register) -> None:
        with pytest.raises(InferenceServerException) as caught:
            server.infer("mdl_0", [tensor("text", TEXTS)])
        assert (caught.value.message(), caught.value.status()) == ("There is no model 'mdl_0'.", "404")
        with pytest.raises(InferenceServerException, match="has no ONNX export"):
            server.infer(register(exports=()), [tensor("text", TEXTS)])
        with pytest.raises(InferenceServerException, match="no model version"):
            server.get_model_metadata(register(), "2")

    def test_of_a_deleted_model(
        self, server: triton.InferenceServerClient, client: httpx.Client, register: Register, app: Any
    ) -> None:
        app.state.inference.freshness.trusted_s = 0
        model_id = register()
        client.delete(f"/v1/models/{model_id}").raise_for_status()
        with pytest.raises(InferenceServerException, match="There is no model"):
            server.infer(model_id, [tensor("text", TEXTS)])


def test_other_media_types_are_refused(client: httpx.Client, register: Register) -> None:
    answer = client.post(
        f"/v2/models/{register()}/infer", content=b"{}", headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 415
    assert "application/json or application/octet-stream:" in answer.json()["error"]
