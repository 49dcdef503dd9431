"""Tables as people have them, over HTTP: each is read as its makers mean it, or refused with what to do."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.app.datasets.uploads import jsonl, post, refused, stored_table

TOKENS = ["ada", "lovelace", "met", "bob", "in", "new", "york", "city", "and", "rome"]
TAGS = {
    "t.jsonl": ["B", "I", "O", "B", "O", "B", "I", "I", "O", "B"],
    "underscore.jsonl": ["B_PER", "I_PER", "O", "B_PER", "O", "B_LOC", "I_LOC", "I_LOC", "O", "B_LOC"],
    "suffix.jsonl": ["PER-B", "PER-I", "O", "PER-B", "O", "LOC-B", "LOC-I", "LOC-I", "O", "LOC-B"],
}
CASES = (
    ("t.jsonl", ["O", "B-ENTITY", "I-ENTITY"], {"ENTITY": 4}, ("IOB2", "B")),
    ("underscore.jsonl", ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"], {"LOC": 2, "PER": 2}, ("IOB2", "B_X")),
    ("suffix.jsonl", ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"], {"LOC": 2, "PER": 2}, ("IOB2", "X-B")),
)


@pytest.mark.parametrize(("name", "labels", "entities", "scheme"), CASES)
def test_tags_in_other_notations(api, name, labels, entities, scheme):
    table = (name, jsonl([{"tokens": TOKENS, "tags": TAGS[name]}]))
    dataset = post(api, {"task": "token_classification"}, train=table, dev=table).json()
    assert dataset["labels"] == labels
    assert dataset["splits"]["train"]["labels"] == entities
    found = dataset["reading"]["tag_scheme"]
    assert (found["name"], found["notation"]) == scheme
    assert api.http.get(f"/v1/datasets/{dataset['id']}").json() == dataset


def test_a_tsv_as_pandas_writes_it(api, tmp_path):
    table = ("t.tsv", b'text\tlabel\n"he said ""a good film"", really"\tpos\nplain\tneg\n')
    dataset = post(api, train=table, dev=table).json()
    text = ['he said "a good film", really', "plain"]
    assert stored_table(api, dataset, "train", tmp_path)["text"] == text
    reading = dataset["reading"]["splits"]["train"]
    assert reading["options"] == {"encoding": "utf-8", "delimiter": "tab", "quotes": "doubled"}
    assert reading["first_rows"] == [{"text": text[0], "label": "pos"}, {"text": text[1], "label": "neg"}]


def test_columns_that_are_named_otherwise(api):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"tweet": ["a good film"] * 2, "sentiment": ["p", "n"]}), buffer)
    table = ("t.parquet", buffer.getvalue())
    detail = refused(api, post(api, train=table, dev=table), "missing_column")
    assert "train, row 1: no column 'text'; the columns are 'tweet', 'sentiment'." in detail
    columns = json.dumps({"text": "tweet", "label": "sentiment"})
    dataset = post(api, {"columns": columns}, train=table, dev=table).json()
    assert dataset["reading"]["splits"]["train"]["columns"] == {"text": "tweet", "label": "sentiment"}


def test_what_is_only_checked_is_not_stored(api):
    table = ("t.csv", b"id,text,label\n1,fine,a\n2,,b\n3,dull,b\n")
    response = api.http.post(
        "/v1/datasets",
        params={"validate_only": "true"},
        files={"train": table, "dev": table},
        data={"labels": '["a", "b", "c"]'},
        headers={"idempotency-key": "check"},
    )
    check = response.json()
    assert response.status_code == 200, check
    assert check["object"] == "dataset_check"
    assert check["splits"]["train"]["labels"] == {"a": 1, "b": 1, "c": 0}
    train = check["reading"]["splits"]["train"]
    assert train == {
        "file": "t.csv",
        "format": "csv",
        "options": {"encoding": "utf-8", "delimiter": "comma", "quotes": "doubled"},
        "columns": {"text": "text", "label": "label"},
        "other_columns": ["id"],
        "left_out": [{"reason": "'text' is empty", "rows": 1, "first": [3]}],
        "repaired": {},
        "first_rows": [{"text": "fine", "label": "a"}, {"text": "dull", "label": "b"}],
    }
    assert check["reading"]["label_order"] == "labels"
    assert check["reading"]["warnings"] == ["No row of train has the label 'c', which 'labels' names."]
    assert (api.stored(), api.rows()["datasets"]) == ([], 0)
    assert refused(api, post(api, train=table, dev=("d.csv", b"x\n")), "empty_split")


def test_the_first_ten_bad_rows_are_named(api):
    rows = [{"text": "fine", "label": "a"}, *[{"text": "x", "label": 0.5}] * 11, {"text": 3, "label": "b"}]
    table = ("t.jsonl", jsonl(rows))
    response = post(api, train=table, dev=table)
    detail = refused(api, response, "invalid_label")
    assert detail.startswith("train, line 2: the label is a float (0.5). ")
    assert (
        "In all, 24 rows have faults (12 in train, 12 in dev); the next: train, line 3: the label is"
        in detail
    )
    assert detail.endswith("train, line 11: the label is a float (0.5); ....")
    problem = response.json()
    assert (problem["bad_row_count"], len(problem["bad_rows"])) == (24, 10)
    assert problem["bad_rows"][9]["detail"].startswith("train, line 11: ")
