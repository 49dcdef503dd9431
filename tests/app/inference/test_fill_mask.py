"""Hidden words, against the pipeline that clients know."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient
from transformers import PreTrainedTokenizerFast, pipeline

from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import MAX_LENGTH, Folders, load

TEXTS = [
    "the [MASK] was charming",
    "a boring, boring story of the [MASK]!",
    "[MASK]",
    "dull music with [MASK] actor",
]


@pytest.fixture(scope="module")
def folder(exported_folder: Folders) -> Path:
    return exported_folder("bert", "masked_language_modeling")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        mask_token="[MASK]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        clean_up_tokenization_spaces=False,
    )
    return pipeline("fill-mask", model=load("masked_language_modeling", folder), tokenizer=tokenizer)


@pytest.fixture
def model_id(register: Register) -> str:
    return register(task="masked_language_modeling")


def same(expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**fill, "score": pytest.approx(fill["score"], abs=1e-5)} for fill in expected]


class TestFills:
    def test_equal_the_pipelines(self, client: httpx.Client, model_id: str, reference: Any) -> None:
        answers = predict(client, model_id, TEXTS).json()
        assert answers == [same(reference(text)) for text in TEXTS]
        assert len({fill["token"] for answer in answers for fill in answer}) > 5

    def test_are_as_many_as_asked_for(self, client: httpx.Client, model_id: str, reference: Any) -> None:
        assert predict(client, model_id, TEXTS[0], top_k=2).json() == same(reference(TEXTS[0], top_k=2))
        assert len(predict(client, model_id, TEXTS[0], top_k=1000).json()) < 1000

    def test_are_chosen_from_targets(self, client: httpx.Client, model_id: str, reference: Any) -> None:
        targets = ["film", "actor", "with", "[UNK]"]
        answer = predict(client, model_id, TEXTS[0], targets=targets, top_k=2).json()
        assert answer == same(reference(TEXTS[0], targets=targets, top_k=2))

    def test_of_one_text_come_alone(self, client: httpx.Client, model_id: str) -> None:
        alone = predict(client, model_id, TEXTS[1]).json()
        assert predict(client, model_id, [TEXTS[1]]).json() == [alone]
        assert alone[0].keys() == {"score", "token", "token_str", "sequence"}

    def test_of_clients_who_ask_differently_do_not_mix(self, client: httpx.Client, model_id: str) -> None:
        one, five = (predict(client, model_id, TEXTS * 20, top_k=top_k).json() for top_k in (1, 5))
        assert {len(fills) for fills in one} == {1}
        assert {len(fills) for fills in five} == {5}
        assert [fills[0]["token"] for fills in one] == [fills[0]["token"] for fills in five]

    def test_reach_the_client_of_hugging_face(self, server_url: str, model_id: str, reference: Any) -> None:
        hub = InferenceClient(model=f"{server_url}/v1/models/{model_id}/predict")
        fills = hub.fill_mask(TEXTS[0], top_k=3, targets=["film", "story", "the"])
        expected = reference(TEXTS[0], top_k=3, targets=["film", "story", "the"])
        assert [(fill.token_str, fill.sequence) for fill in fills] == [
            (fill["token_str"], fill["sequence"]) for fill in expected
        ]


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "masks"), [("the film", 0), ("", 0), ("[MASK] and [MASK]", 2), ("<mask>", 0)]
    )
    def test_of_a_text_without_one_mask(
        self, client: httpx.Client, model_id: str, text: str, masks: int
    ) -> None:
        response = predict(client, model_id, [TEXTS[0], text])
        assert response.status_code == 422
        assert f"Input 1 contains [MASK] {masks} times" in response.json()["detail"]
        assert response.json()["mask"] == "[MASK]"
        assert response.json()["errors"][0]["pointer"] == "#/inputs"

    def test_of_a_mask_that_is_cut_off(self, client: httpx.Client, model_id: str) -> None:
        response = predict(client, model_id, ["the film " * MAX_LENGTH + "[MASK]", TEXTS[0]])
        assert response.status_code == 422
        assert f"truncated to {MAX_LENGTH} tokens" in response.json()["detail"]
        assert response.json()["errors"][0]["pointer"] == "#/inputs"

    def test_of_a_target_that_is_no_token(self, client: httpx.Client, model_id: str) -> None:
        response = predict(client, model_id, TEXTS[0], targets=["film", "films"])
        assert response.status_code == 422
        assert "'films' is 2 tokens" in response.json()["detail"]
        assert response.json()["errors"][0]["pointer"] == "#/parameters/targets"

    def test_of_a_target_that_the_model_does_not_know(self, client: httpx.Client, model_id: str) -> None:
        response = predict(client, model_id, TEXTS[0], targets=["film", "\u6f22"])
        assert response.status_code == 422
        assert response.json()["type"].endswith("unknown_target")
        assert "'\u6f22' is not in the model's vocabulary" in response.json()["detail"]
        assert response.json()["errors"][0]["pointer"] == "#/parameters/targets"

    def test_of_a_target_longer_than_any_token(self, client: httpx.Client, model_id: str) -> None:
        response = predict(client, model_id, TEXTS[0], targets=["film", "x" * 101])
        assert response.status_code == 422
        assert "at most 100 characters" in response.json()["detail"]
        assert response.json()["errors"][0]["pointer"] == "#/parameters/targets/1"
