"""``@huggingface/inference`` and ``openai`` of npm, as installed from there."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.tasks import TASKS
from tests.app.inference.conftest import Register, predict
from tests.npm import install, node
from tests.tiny import tiny_examples

CLIENTS = Path(__file__).parents[2] / "clients"
TEXTS = [example["text"] for example in tiny_examples(3)]
MASKED = "the [MASK] was dull"
QUESTION = {"question": "the one", "context": TEXTS[0]}


@pytest.fixture(scope="session")
def drive() -> Path:
    """A script that needs the packages."""
    install(CLIENTS)
    return CLIENTS / "drive.mjs"


def test_they_get_what_predict_says(
    client: httpx.Client, server_url: str, register: Register, drive: Path
) -> None:
    models = {task: register(task=task) for task in TASKS}
    asked = {"url": server_url, "models": models, "texts": TEXTS, "masked": MASKED, "question": QUESTION}
    got = node(drive, json.dumps(asked))

    def told(task: str, inputs: Any, **parameters: Any) -> Any:
        return predict(client, models[task], inputs, **parameters).raise_for_status().json()

    assert got["labels"] == told("text_classification", TEXTS[0])[0]
    assert got["labels_by_url"] == got["labels"][:1]
    assert got["several_labels"] == told("multi_label_classification", TEXTS[0])[0]
    assert got["number"] == told("text_regression", TEXTS[0])[0]
    assert got["entities"] == told("token_classification", TEXTS[0])
    for strategy in ("simple", "average"):
        assert got[strategy] == told("token_classification", TEXTS[0], aggregation_strategy=strategy)
    assert got["fills"] == told("masked_language_modeling", MASKED)
    assert got["answer"] == told("question_answering", QUESTION)
    assert got["translations"] == told("translation", TEXTS)
    assert got["translation"] == got["translations"][0]
    assert got["vectors"] == told("sentence_embedding", TEXTS)
    assert got["similarities"][0] == pytest.approx(1)
    for item, vector in zip(got["embeddings"], got["vectors"], strict=True):
        assert item["embedding"] == pytest.approx(vector, rel=1e-6)
    for name in ("unknown", "unknown_embedder"):
        assert (got[name]["status"], got[name]["message"][-26:]) == (404, "There is no model 'mdl_0'.")
    assert got["wrong"]["status"] == 422
    assert "Unknown parameter 'top_k' for translation" in got["wrong"]["message"]
