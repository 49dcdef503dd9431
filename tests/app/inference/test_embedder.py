"""Vectors of texts, against the torch network."""

from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from huggingface_hub import InferenceClient
from tokenizers import Tokenizer

from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import Folders, load
from tests.tiny import tiny_examples

TEXTS = [row["text"] for row in tiny_examples(5)]


@pytest.fixture(scope="module")
def expected(exported_folder: Folders) -> np.ndarray:
    folder: Path = exported_folder("bert", "sentence_embedding")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    network = load("sentence_embedding", folder)
    with torch.no_grad():
        rows = [network(torch.tensor([tokenizer.encode(text).ids])).logits[0] for text in TEXTS]
    return torch.stack(rows).numpy()


def test_vectors(client: httpx.Client, server_url: str, register: Register, expected: np.ndarray) -> None:
    """Those of a list, of one text, at length 1, cut off, and what is refused."""
    model_id = register(task="sentence_embedding")
    np.testing.assert_allclose(predict(client, model_id, TEXTS).json(), expected, atol=1e-4)
    [alone] = predict(client, model_id, TEXTS[0]).json()
    np.testing.assert_allclose(alone, expected[0], atol=1e-4)
    hub = InferenceClient(model=f"{server_url}/v1/models/{model_id}/predict")
    np.testing.assert_allclose(hub.feature_extraction(TEXTS[0])[0], expected[0], atol=1e-4)

    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    at_length_one = predict(client, model_id, TEXTS, normalize=True).json()
    np.testing.assert_allclose(at_length_one, expected / lengths, atol=1e-4)
    shorter = np.array(predict(client, model_id, TEXTS, dimensions=4).json())
    assert shorter.shape == (len(TEXTS), 4)
    np.testing.assert_allclose(np.linalg.norm(shorter, axis=1), 1, atol=1e-5)

    for inputs, parameters, code in (
        (TEXTS, {"dimensions": 33}, "too_many_dimensions"),
        ({"text": "a", "text_pair": "b"}, {}, "pairs_not_supported"),
        (" ", {}, "empty_text"),
        (TEXTS, {"top_k": 1}, "unknown_parameter"),
    ):
        response = predict(client, model_id, inputs, **parameters)
        assert response.status_code == 422
        assert response.json()["type"].endswith(code)
