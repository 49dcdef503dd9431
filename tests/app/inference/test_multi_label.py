"""Labels that are decided one by one: the form and the scores of a pipeline of Hugging Face."""

from pathlib import Path

import httpx
import pytest
from transformers import PreTrainedTokenizerFast, pipeline

from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import LABELS, Folders, load

TASK = "multi_label_classification"
TEXTS = ["the film was wonderful", "a dull and boring story with a river"]


@pytest.fixture(scope="module")
def folder(exported_folder: Folders) -> Path:
    return exported_folder("bert", TASK)


def test_answers_are_those_of_the_pipeline(client: httpx.Client, register: Register, folder: Path) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    expected = pipeline("text-classification", model=load(TASK, folder), tokenizer=tokenizer)(
        TEXTS, top_k=None
    )
    answers = predict(client, register(task=TASK), TEXTS).json()
    for ours, theirs in zip(answers, expected, strict=True):
        assert [entry["label"] for entry in ours] == [entry["label"] for entry in theirs]
        scores = [entry["score"] for entry in theirs]
        assert [entry["score"] for entry in ours] == pytest.approx(scores, abs=1e-4)
        assert sum(scores) != pytest.approx(1, abs=0.01)  # a sigmoid each


def test_labels_pass_at_their_thresholds(client: httpx.Client, register: Register) -> None:
    [scores] = predict(client, register(task=TASK), TEXTS[0]).json()
    found = {entry["label"]: entry["score"] for entry in scores}
    thresholds = [found[LABELS[0]] - 1e-3, found[LABELS[1]] + 1e-3, 2.0]
    [answer] = predict(client, register(task=TASK, thresholds=thresholds), TEXTS[0]).json()
    passes = {entry["label"]: entry["passes"] for entry in answer}
    assert passes == {LABELS[0]: True, LABELS[1]: False, LABELS[2]: False}


def test_without_thresholds_a_label_passes_at_one_half(client: httpx.Client, register: Register) -> None:
    for answer in predict(client, register(task=TASK), TEXTS).json():
        assert all(entry["passes"] == (entry["score"] >= 0.5) for entry in answer)


def test_top_k_cuts_the_labels_and_pairs_are_read(client: httpx.Client, register: Register) -> None:
    [answer] = predict(client, register(task=TASK), {"text": "a", "text_pair": "b"}, top_k=2).json()
    assert len(answer) == 2
