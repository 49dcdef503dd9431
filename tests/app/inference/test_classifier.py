"""Numbers of texts and pairs, against the torch network; labels are in ``test_endpoints``."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from huggingface_hub import InferenceClient
from tokenizers import Tokenizer

from app.inference.predictors.classifier import Regressor
from app.inference.predictors.predictor import Run
from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import Folders, load
from tests.tiny import tiny_pair_examples

PAIRS = [(row["text"], row["text_pair"]) for row in tiny_pair_examples(6)]


@pytest.fixture(scope="module")
def folder(exported_folder: Folders) -> Path:
    return exported_folder("bert", "text_regression")


@pytest.fixture
def model_id(register: Register) -> str:
    return register(task="text_regression")


def number_of(folder: Path, text: str, pair: str | None = None) -> float:
    encoding = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, pair)
    with torch.no_grad():
        (number,) = load("text_regression", folder)(
            input_ids=torch.tensor([encoding.ids]), token_type_ids=torch.tensor([encoding.type_ids])
        ).logits[0]
    return float(number)


def test_numbers_of_pairs_equal_the_torch_network(client: httpx.Client, model_id: str, folder: Path) -> None:
    inputs = [{"text": text, "text_pair": pair} for text, pair in PAIRS]
    answers = predict(client, model_id, inputs).json()
    expected = [number_of(folder, *pair) for pair in PAIRS]
    assert [[score["label"] for score in answer] for answer in answers] == [["score"]] * len(PAIRS)
    assert [answer[0]["score"] for answer in answers] == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.01


def test_number_reaches_the_client_of_hugging_face(
    client: httpx.Client, server_url: str, model_id: str, folder: Path
) -> None:
    hub = InferenceClient(model=f"{server_url}/v1/models/{model_id}/predict")
    (score,) = hub.text_classification(PAIRS[0][0], function_to_apply="none")
    assert score.label == "score"
    assert score.score == pytest.approx(number_of(folder, PAIRS[0][0]), abs=1e-4)


def test_a_number_that_goes_through_a_sigmoid() -> None:
    class Encoder:
        def logits(self, _tokens: Any) -> Any:
            return np.array([[0.0], [-100.0], [2.0]], np.float32)

    class Tokenizer:
        def pad(self, texts: Any) -> Any:
            return texts

    predictor: Any = Regressor
    run = Run(["a", "b", "c"], None, lambda _: True)
    plain, through = (
        predictor(Encoder(), Tokenizer(), activation=activation).run(run) for activation in (None, "sigmoid")
    )
    assert plain == [0, -100, 2]
    assert through == pytest.approx([0.5, 0, 0.880797])
