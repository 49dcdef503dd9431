"""Named entities of plain texts, against the torch network asked one sentence at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from huggingface_hub import InferenceClient
from tokenizers import Tokenizer

from app.domain.entity_spans import Tagging
from app.domain.word_splitting import WordSplitter
from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import MAX_LENGTH, TAGS, Folders, load

TEXTS = [
    "The story of Oslo-born Kari, charming.",
    "superb  music\tby O'Brien's band (of 1999) and the actor was dull",
    "Ærø og Å, 10:30 @film",
    "the film was",
]


def tagged(folder: Path, text: str) -> Iterator[tuple[int, int, str, float]]:
    """Start, end, tag and score of each word that the model has room for."""
    places = WordSplitter().places(text)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pieces = [tokenizer.encode(text[a:b], add_special_tokens=False).ids for a, b in places]
    ids = [id_ for word in pieces for id_ in word][: MAX_LENGTH - 2]
    network = load("token_classification", folder)
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([[2, *ids, 3]])).logits[0, 1:-1]
    at = 0
    for (start, end), word in zip(places, pieces, strict=True):
        if at >= len(ids):
            return
        scores = logits[at].softmax(0)
        yield start, end, TAGS[int(scores.argmax())], float(scores.max())
        at += len(word)


@pytest.fixture(scope="module")
def folder(exported_folder: Folders) -> Path:
    return exported_folder("bert", "token_classification")


@pytest.fixture
def model_id(register: Register) -> str:
    return register(task="token_classification")


class TestWords:
    def test_have_the_tag_of_their_first_piece(
        self, client: httpx.Client, model_id: str, folder: Path
    ) -> None:
        answers = predict(client, model_id, TEXTS, aggregation_strategy="words", ignore_labels=[]).json()
        assert len({word["entity"] for answer in answers for word in answer}) > 2
        for text, answer in zip(TEXTS, answers, strict=True):
            expected = list(tagged(folder, text))
            assert len(expected) > 2
            assert [(word["start"], word["end"], word["entity"]) for word in answer] == [
                (start, end, tag) for start, end, tag, _ in expected
            ]
            assert [word["score"] for word in answer] == pytest.approx(
                [score for *_, score in expected], abs=1e-5
            )
            assert all(word["word"] == text[word["start"] : word["end"]] for word in answer)

    def test_outside_of_entities_are_left_out(self, client: httpx.Client, model_id: str) -> None:
        every = predict(client, model_id, TEXTS[1], aggregation_strategy="words", ignore_labels=[]).json()
        some = predict(client, model_id, TEXTS[1], aggregation_strategy="words").json()
        assert some == [word for word in every if word["entity"] != "O"]
        assert len(some) < len(every)

    def test_beyond_the_models_length_are_not_tagged(
        self, client: httpx.Client, model_id: str, folder: Path
    ) -> None:
        text = " ".join(TEXTS * 3)
        answer = predict(client, model_id, text, aggregation_strategy="words", ignore_labels=[]).json()
        assert [word["end"] for word in answer] == [end for _, end, *_ in tagged(folder, text)]
        assert answer[-1]["end"] < len(text) / 2


class TestEntities:
    @pytest.mark.parametrize("strategy", [{}, {"aggregation_strategy": "first"}])
    def test_join_words(
        self, client: httpx.Client, model_id: str, folder: Path, strategy: dict[str, str]
    ) -> None:
        answers = predict(client, model_id, TEXTS, **strategy).json()
        assert any(" " in entity["word"] for answer in answers for entity in answer)
        for text, answer in zip(TEXTS, answers, strict=True):
            words = list(tagged(folder, text))
            expected = []
            tags = [TAGS.index(tag) for *_, tag, _ in words]
            for kind, first, after in Tagging(TAGS).spans(tags):
                scores = [score for *_, score in words[first:after]]
                start, end = words[first][0], words[after - 1][1]
                expected.append(
                    {
                        "entity_group": kind,
                        "score": pytest.approx(sum(scores) / len(scores), abs=1e-5),
                        "word": text[start:end],
                        "start": start,
                        "end": end,
                    }
                )
            assert answer == expected

    def test_of_ignored_kinds_are_left_out(self, client: httpx.Client, model_id: str) -> None:
        every = predict(client, model_id, " ".join(TEXTS)).json()
        some = predict(client, model_id, " ".join(TEXTS), ignore_labels=["PER"]).json()
        assert some == [entity for entity in every if entity["entity_group"] != "PER"]
        assert 0 < len(some) < len(every)

    def test_of_one_text_come_alone(self, client: httpx.Client, model_id: str) -> None:
        alone = predict(client, model_id, TEXTS[0]).json()
        assert alone
        assert predict(client, model_id, [TEXTS[0]]).json() == [alone]

    @pytest.mark.parametrize("text", ["", " \n", "\u200b"])
    def test_of_a_text_without_words_are_none(self, client: httpx.Client, model_id: str, text: str) -> None:
        assert predict(client, model_id, [text, TEXTS[0], text]).json()[::2] == [[], []]

    @pytest.mark.parametrize("family", ["roberta", "distilbert"])
    def test_come_from_other_families_too(
        self, client: httpx.Client, register: Register, family: str
    ) -> None:
        model_id = register(family, task="token_classification")
        assert len(predict(client, model_id, TEXTS).raise_for_status().json()) == len(TEXTS)

    def test_reach_the_client_of_hugging_face(
        self, client: httpx.Client, server_url: str, model_id: str
    ) -> None:
        hub = InferenceClient(model=f"{server_url}/v1/models/{model_id}/predict")
        entities = hub.token_classification(TEXTS[0], aggregation_strategy="first")
        expected: list[dict[str, Any]] = predict(client, model_id, TEXTS[0]).json()
        assert [(entity.entity_group, entity.start, entity.end, entity.word) for entity in entities] == [
            (entity["entity_group"], entity["start"], entity["end"], entity["word"]) for entity in expected
        ]


class TestListsOfWords:
    def test_are_tagged_as_they_are(self, client: httpx.Client, model_id: str) -> None:
        """As the same words with spaces between them; places count words."""
        text = "The story of Oslo and Kari"
        words = text.split()
        every = {"aggregation_strategy": "words", "ignore_labels": []}
        expected = predict(client, model_id, text, **every).json()
        answer = predict(client, model_id, {"words": words}, **every).json()
        assert [(word["entity"], word["word"]) for word in answer] == [
            (word["entity"], word["word"]) for word in expected
        ]
        assert [(word["start"], word["end"]) for word in answer] == [(i, i + 1) for i in range(len(words))]
        mixed = predict(client, model_id, [text, {"words": words}], **every).json()
        assert [word["entity"] for word in mixed[1]] == [word["entity"] for word in answer]

    def test_are_not_split(self, client: httpx.Client, model_id: str) -> None:
        words = ["J.", "Smith", "saw", "the", "U.S.", "Oslo Airport"]
        every = {"aggregation_strategy": "words", "ignore_labels": []}
        answer = predict(client, model_id, {"words": words}, **every).json()
        assert [word["word"] for word in answer] == words
        for entity in predict(client, model_id, {"words": words}).json():
            assert entity["word"] == " ".join(words[entity["start"] : entity["end"]])

    @pytest.mark.parametrize("words", [[], ["a", 1], "a b", [["a"]], ["a"] * 10_001, ["a" * 100_001]])
    def test_that_are_none_are_refused(self, client: httpx.Client, model_id: str, words: Any) -> None:
        response = predict(client, model_id, ["a", {"words": words}])
        assert response.status_code == 422
        assert "nput 1" in response.json()["detail"]


class TestRefusals:
    def test_of_a_pair(self, client: httpx.Client, model_id: str) -> None:
        response = predict(client, model_id, ["a", {"text": "a", "text_pair": "b"}])
        assert response.status_code == 422
        assert "Input 1 is a text pair" in response.json()["detail"]

    def test_of_a_strategy_that_there_is_not(self, client: httpx.Client, model_id: str) -> None:
        response = predict(client, model_id, "a", aggregation_strategy="some")
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "#/parameters/aggregation_strategy"
        assert "simple" in response.json()["detail"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Han kom kl. 10:30, bl.a. fra E.ON.", "Han|kom|kl|.|10:30|,|bl.a|.|fra|E.ON|."),
        ("Oslo's O\u2019Brien\u2019s e-mail", "Oslo|'s|O\u2019Brien|\u2019s|e-mail"),
        ("RT @film: #nå... (!!)", "RT|@film|:|#nå|...|(|!!|)"),
        ("  1,000 kr \u2013 «sånn»", "1,000|kr|\u2013|«|sånn|»"),
        ("हिन्दी में।", "हिन्दी|में|।"),
        ("e\u0301te\u0301", "e\u0301te\u0301"),
        ("", ""),
    ],
)
def test_words_of_a_text(text: str, words: str) -> None:
    assert "|".join(text[start:end] for start, end in WordSplitter().places(text)) == words
