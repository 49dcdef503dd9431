"""Tables of texts, pairs and queries for vectors, and vectors that teachers say."""

import json
from typing import Any

import pytest

from tests.app.datasets.preparing import Read, read, refused

TASK = "sentence_embedding"
TEXTS = [{"text": "a dog runs"}, {"text": "a cat sleeps"}]
PAIRS = [
    {"text": "a dog runs", "text_pair": "a dog is running", "score": 4.5},
    {"text": "a dog runs", "text_pair": "a cat sleeps", "score": 0.5},
]
QUERIES = [
    {"text": "who runs", "text_pair": "a dog runs"},
    {"text": "who sleeps", "text_pair": "a cat sleeps"},
]


def table(rows: list[dict[str, Any]]) -> tuple[str, bytes]:
    return "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode()


def prepared(train: list[dict[str, Any]], dev: list[dict[str, Any]] | None = None, **options: Any) -> Read:
    return read(table(train), None if dev is None else table(dev), task=TASK, **options)


def fault(train: list[dict[str, Any]], dev: list[dict[str, Any]] | None = None, **options: Any) -> str:
    return refused(table(train), None if dev is None else table(dev), task=TASK, **options).code


def test_texts_alone_and_pairs_to_measure_by_lie_side_by_side() -> None:
    found = prepared(TEXTS, PAIRS)
    assert found.stored["train"] == {"text": ["a dog runs", "a cat sleeps"]}
    assert found.stored["dev"]["score"] == [4.5, 0.5]
    assert found.prepared.splits["dev"].scores == {"min": 0.5, "mean": 2.5, "max": 4.5}
    assert not found.prepared.is_pair
    assert prepared(PAIRS).prepared.is_pair


def test_pairs_without_scores_are_queries_and_passages() -> None:
    found = prepared(QUERIES)
    assert found.rows == {"text": ["who runs", "who sleeps"], "text_pair": ["a dog runs", "a cat sleeps"]}
    assert found.prepared.splits["dev"].scores is None


@pytest.mark.parametrize("names", [("sentence1", "sentence2"), ("query", "passage"), ("anchor", "positive")])
def test_columns_of_the_hub_are_read_as_they_are_named(names: tuple[str, str]) -> None:
    found = prepared([{names[0]: "a dog runs", names[1]: "a dog is running"}] * 2)
    assert found.rows["text_pair"] == ["a dog is running"] * 2
    assert found.train.columns == {"text": names[0], "text_pair": names[1]}


def test_a_score_has_other_names_too() -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "similarity_score": score} for score in (1, 2)]
    assert prepared(rows).rows["score"] == [1, 2]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([{"text": "a", "text_pair": "b", "label": 0}], "unclear_pairs"),
        ([{"text": "a", "score": 1}], "score_without_pair"),
        ([QUERIES[0], PAIRS[0]], "inconsistent_columns"),
        ([PAIRS[0], QUERIES[0]], "missing_column"),
        ([PAIRS[0], PAIRS[0]], "too_few_scores"),
        ([{"text": "a", "text_pair": "b", "teacher_scores": [1, 2]}], "teacher_scores_of_pairs"),
        ([{"text": "a", "teacher_scores": [0, 0]}], "invalid_teacher_scores"),
        ([{"text": "a", "teacher_scores": "yes"}], "invalid_teacher_scores"),
        (
            [{"text": "a", "teacher_scores": [1, 2]}, {"text": "b", "teacher_scores": [1, 2, 3]}],
            "invalid_teacher_scores",
        ),
    ],
)
def test_what_is_not_clear_is_refused(rows: list[dict[str, Any]], code: str) -> None:
    assert fault(rows) == code


def test_a_label_that_is_named_says_how_alike_texts_are() -> None:
    rows = [{"text": "a", "text_pair": "b", "label": label} for label in (0, 1)]
    assert prepared(rows, columns={"score": "label"}).rows["score"] == [0, 1]


def test_vectors_of_a_teacher_are_kept_as_they_are() -> None:
    rows = [{**TEXTS[0], "teacher_scores": [1.5, -2, 0]}, TEXTS[1]]
    found = prepared(rows, PAIRS)
    assert found.rows["teacher_scores"] == [{"teacher": [1.5, -2, 0]}, {"teacher": None}]
    assert found.prepared.dimensions == 3
    assert found.prepared.splits["train"].teacher_scores is not None
    assert found.prepared.splits["train"].teacher_scores["teacher"].rows == 1
