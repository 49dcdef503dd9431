"""Lists of labels, in every format."""

import json
from typing import Any

import pytest

from tests.app.conftest import Api
from tests.app.datasets.uploads import jsonl, parquet_of, post, refused, stored_table

ROWS = [
    {"text": "what a day", "labels": ["joy", "surprise"]},
    {"text": "it is Monday", "labels": []},
    {"text": "oh no", "labels": ["fear"]},
]
TASK = {"task": "multi_label_classification"}


def csv_rows(rows: list[dict[str, Any]]) -> bytes:
    lines = ["text,labels"]
    for row in rows:
        cell = json.dumps(row["labels"]).replace('"', '""')
        lines.append(f'{row["text"]},"{cell}"')
    return "\n".join(lines).encode()


def post_rows(api: Api, rows: list[Any], *, dev: list[Any] | None = None, **form: str) -> Any:
    tables = {"train": ("t.jsonl", jsonl(rows)), "dev": ("d.jsonl", jsonl(rows if dev is None else dev))}
    return post(api, TASK | form, **tables)


@pytest.mark.parametrize(
    ("name", "make"), [("t.jsonl", jsonl), ("t.parquet", parquet_of), ("t.csv", csv_rows)]
)
def test_every_format_gives_the_same(api, tmp_path, name, make):
    response = post(api, TASK, train=(name, make(ROWS)), dev=(name, make(ROWS)))
    dataset = response.json()
    assert response.status_code == 201, dataset
    assert (dataset["task"], dataset["labels"]) == (TASK["task"], ["fear", "joy", "surprise"])
    assert dataset["splits"]["train"]["labels"] == {"fear": 1, "joy": 1, "surprise": 1}
    assert stored_table(api, dataset, "dev", tmp_path) == {
        "text": [row["text"] for row in ROWS],
        "labels": [[1, 2], [], [0]],
    }


def test_whole_numbers_are_indices_into_the_names(api, tmp_path):
    rows = [{"text": "x", "labels": [2, 0]}, {"text": "y", "labels": [1]}]
    dataset = post_rows(api, rows, labels=json.dumps(["c", "b", "a"])).json()
    assert dataset["labels"] == ["c", "b", "a"]
    assert stored_table(api, dataset, "train", tmp_path)["labels"] == [[0, 2], [1]]


MARKS = ([0, 1], [1, 0], [1, 1], [0, 0])


@pytest.mark.parametrize("of", [int, float, bool])
def test_lists_of_marks(api, tmp_path, of):
    """One for each label, as training loops want them."""
    rows = [{"text": "x", "labels": [of(mark), of(other), of(0)]} for mark, other in MARKS]
    dataset = post_rows(api, rows, labels='["joy", "fear", "pride"]').json()
    assert dataset["labels"] == ["joy", "fear", "pride"]
    assert dataset["splits"]["train"]["labels"] == {"joy": 2, "fear": 2, "pride": 0}
    assert stored_table(api, dataset, "train", tmp_path)["labels"] == [[1], [0], [0, 1], []]
    assert "a mark for each label" in dataset["reading"]["warnings"][0]


@pytest.mark.parametrize(
    ("lists", "stored"),
    [
        ([[0, 1], [1, 0]], [[1], [0]]),
        ([[0, 1], [1]], [[0, 1], [1]]),
        ([[0, 1], [1, 0], [0]], [[0, 1], [0, 1], [0]]),
    ],
    ids=["marks", "labels", "labels in any order"],
)
def test_what_lists_of_two_are_all_rows_tell(api, tmp_path, lists, stored):
    rows = [{"text": "x", "labels": labels} for labels in lists]
    dataset = post_rows(api, rows, labels='["joy", "fear"]').json()
    assert stored_table(api, dataset, "train", tmp_path)["labels"] == stored


def test_marks_without_names(api):
    detail = refused(api, post_rows(api, [{"text": "x", "labels": [0, 1, 0]}] * 2), "label_names_required")
    assert "has 3 items of 0 and 1" in detail


@pytest.mark.parametrize(
    ("marks", "code"), [([0, 1, 1], "repeated_label"), ([True, False, True], "invalid_label")]
)
def test_marks_among_lists_of_labels(api, marks, code):
    rows = [{"text": "x", "labels": marks}, {"text": "y", "labels": [2]}]
    refused(api, post_rows(api, rows, labels='["joy", "fear", "pride"]'), code)


def test_a_column_for_each_label(api, tmp_path):
    table = ("t.csv", b"id,text,toxic,insult,other\n1,x,1,0,9\n2,y,1,1,9\n3,z,0,0,9\n4,u,-1,-1,9\n")
    assert "name these columns in 'labels'" in refused(
        api, post(api, TASK, train=table, dev=table), "missing_column"
    )
    form = TASK | {"labels": '["toxic", "insult"]'}
    dataset = post(api, form, train=table, dev=table, unlabeled=("u.csv", b"id,text\n1,x\n")).json()
    assert stored_table(api, dataset, "train", tmp_path)["labels"] == [[0], [0, 1], []]
    reading = dataset["reading"]["splits"]["train"]
    assert reading["columns"] == {"text": "text", "labels": "toxic, insult"}
    assert reading["other_columns"] == ["id", "other"]
    assert [entry["rows"] for entry in reading["left_out"]] == [1]


def test_columns_that_hold_no_marks(api):
    faulty = ("t.csv", b"text,toxic,insult\nx,1,maybe\n")
    response = post(api, TASK | {"labels": '["toxic", "insult"]'}, train=faulty, dev=faulty)
    assert "'insult' is a str ('maybe')" in refused(api, response, "invalid_labels")


def test_unlabeled_rows_need_no_labels(api, tmp_path):
    tables = {split: (f"{split}.jsonl", jsonl(ROWS)) for split in ("train", "dev")}
    dataset = post(api, TASK, **tables, unlabeled=("u.jsonl", jsonl([{"text": "z"}]))).json()
    assert stored_table(api, dataset, "unlabeled", tmp_path) == {"text": ["z"]}


@pytest.mark.parametrize(
    ("labels", "code", "what"),
    [
        ("joy", "invalid_labels", "JSON list"),
        ('{"joy": 1}', "invalid_labels", "a dict"),
        ("[" * 100_000, "invalid_labels", "a str"),
        ([1.5], "invalid_label", "a float"),
        ([True], "invalid_label", "a bool"),
        ([["joy"]], "invalid_label", "a list"),
        ([""], "invalid_label", "empty"),
        (["joy", " joy "], "repeated_label", "twice"),
        ([1], "mixed_labels", "names"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(api, labels, code, what):
    response = post_rows(api, [*ROWS, {"text": "z", "labels": labels}])
    assert what in refused(api, response, code)


def test_labels_that_train_has_not(api):
    response = post_rows(api, ROWS, dev=[{"text": "z", "labels": ["pride"]}])
    assert "'pride'" in refused(api, response, "labels_not_in_train")


def test_one_label_is_too_few(api):
    rows = [{"text": "z", "labels": ["joy"]}, {"text": "z", "labels": []}]
    refused(api, post_rows(api, rows), "too_few_labels")


def test_no_label_at_all_is_too_few(api):
    refused(api, post_rows(api, [{"text": "z", "labels": []}] * 2), "too_few_labels")
