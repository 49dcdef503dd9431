"""Tags of pieces put together as transformers' own pipeline does it, on the same network and tokenizer."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerFast, pipeline

from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import MAX_LENGTH, Folders
from tests.tiny import tiny_examples

TEXTS = [
    "The story of Oslo and Kari, charming.",
    "superb music by a band from 1999, and the actor was dull.",
    "the film was a story of Trondheim!",
]
LONG = " ".join(TEXTS * 3)
STRATEGIES = ["none", "simple", "first", "average", "max"]


@pytest.fixture(scope="module")
def pipe(exported_folder: Folders) -> Any:
    folder = Path(exported_folder("bert", "token_classification"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        model_max_length=MAX_LENGTH,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    network = AutoModelForTokenClassification.from_pretrained(folder)
    return pipeline("token-classification", model=network, tokenizer=tokenizer, device="cpu")


@pytest.fixture
def model_id(register: Register) -> str:
    return register(task="token_classification")


def as_ours(entity: dict[str, Any], text: str) -> dict[str, Any]:
    """Transformers lower-cases the words of groups and sets spaces into them; ours are the text's."""
    word = entity["word"] if "index" in entity else text[entity["start"] : entity["end"]]
    return {**entity, "score": pytest.approx(float(entity["score"]), abs=1e-5), "word": word}


def test_short_texts(client: httpx.Client, model_id: str, pipe: Any) -> None:
    for strategy in STRATEGIES:
        answers = predict(client, model_id, TEXTS, aggregation_strategy=strategy).json()
        for text, answer in zip(TEXTS, answers, strict=True):
            assert answer
            assert answer == [as_ours(entity, text) for entity in pipe(text, aggregation_strategy=strategy)]


@pytest.mark.parametrize("stride", [0, 7])
def test_long_texts_in_windows(client: httpx.Client, model_id: str, pipe: Any, stride: int) -> None:
    whole_words = " ".join(example["text"] for example in tiny_examples(20))
    for strategy in STRATEGIES[1:]:
        # Transformers takes the rest of a word, where a window begins in it, for a word.
        text = LONG if strategy == "simple" else whole_words
        answer = predict(client, model_id, text, aggregation_strategy=strategy, stride=stride).json()
        expected = pipe(text, aggregation_strategy=strategy, stride=stride)
        assert answer == [as_ours(entity, text) for entity in expected]
        assert answer[-1]["end"] > len(text) * 0.9


def test_windows_cut_no_words(client: httpx.Client, model_id: str) -> None:
    words = {match.span() for match in re.finditer(r"\w+|[^\w\s]", LONG)}
    starts, ends = ({place[side] for place in words} for side in (0, 1))
    for strategy in STRATEGIES[2:]:
        for stride in (0, 7, 30):
            answer = predict(client, model_id, LONG, aggregation_strategy=strategy, stride=stride).json()
            assert all(entity["start"] in starts and entity["end"] in ends for entity in answer)
            assert all(one["end"] <= other["start"] for one, other in pairwise(answer))


def test_a_text_that_fits_needs_no_windows(client: httpx.Client, model_id: str) -> None:
    without = predict(client, model_id, TEXTS).json()
    assert predict(client, model_id, TEXTS, stride=20).json() == without


def test_given_words_are_read_whole_too(client: httpx.Client, model_id: str) -> None:
    words = re.findall(r"\w+|[^\w\s]", LONG)
    entities = predict(client, model_id, {"words": words}, stride=20).json()
    assert entities[-1]["end"] > len(words) * 0.9
    for entity in entities:
        assert entity["word"] == " ".join(words[entity["start"] : entity["end"]])
    nothing = predict(client, model_id, ["", LONG, " "], stride=20).json()
    assert (nothing[0], nothing[2]) == ([], [])


@pytest.mark.parametrize(
    ("parameters", "hint"),
    [
        ({"stride": MAX_LENGTH - 2}, "holds 60 tokens"),
        ({"stride": 3, "aggregation_strategy": "none"}, "aggregation_strategy none gives none"),
    ],
)
def test_windows_that_cannot_be_are_refused(
    client: httpx.Client, model_id: str, parameters: dict[str, Any], hint: str
) -> None:
    response = predict(client, model_id, LONG, **parameters)
    assert response.status_code == 422
    assert hint in response.json()["detail"]
