"""Data sets of named entities: every scheme of tags becomes IOB2, and what is amiss is named by its row."""

import json
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.intake.datasets.rows import Place
from app.intake.datasets.tags import Tags
from tests.app.conftest import Api
from tests.app.datasets.uploads import csv_of, jsonl, parquet_of, post, refused, stored_table

ROWS = [
    {"tokens": ["Ada", "Lovelace", "visits", "Turin", "."], "tags": ["B-PER", "I-PER", "O", "B-LOC", "O"]},
    {"tokens": ["no", "names"], "tags": ["O", "O"]},
]
NAMES = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
INDICES = [[3, 4, 0, 1, 0], [0, 0]]


def spaced(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{name: " ".join(map(str, value)) for name, value in row.items()} for row in rows]


FORMATS = {
    "t.jsonl": jsonl,
    "t.parquet": parquet_of,
    "t.csv": lambda rows: csv_of(spaced(rows)),
    "t.tsv": lambda rows: csv_of(spaced(rows), "\t"),
    "spaced.jsonl": lambda rows: jsonl(spaced(rows)),
}


def post_tags(api: Api, train: Iterable[Any], dev: Iterable[Any] | None = None, **form: str) -> Any:
    rows = list(train)
    tables = {
        "train": ("t.jsonl", jsonl(rows)),
        "dev": ("d.jsonl", jsonl(rows if dev is None else list(dev))),
    }
    return post(api, {"task": "token_classification"} | form, **tables)


def tagged(*rows: list[Any]) -> list[dict[str, Any]]:
    return [{"tokens": ["x"] * len(tags), "tags": tags} for tags in rows]


class TestRegister:
    @pytest.mark.parametrize("filename", FORMATS)
    def test_every_format_gives_the_same(self, api, tmp_path, filename):
        table = (filename, FORMATS[filename](ROWS))
        response = post(api, {"task": "token_classification"}, train=table, dev=table)
        dataset = response.json()
        assert response.status_code == 201, dataset
        assert (dataset["task"], dataset["labels"], dataset["is_pair"]) == (
            "token_classification",
            NAMES,
            False,
        )
        train = dataset["splits"]["train"]
        assert (train["rows"], train["labels"], train["repaired_tags"]) == (2, {"LOC": 1, "PER": 1}, 0)
        assert train["words"] == {"p50": 2, "p95": 5, "p99": 5, "max": 5}
        assert stored_table(api, dataset, "train", tmp_path) == {
            "tokens": [row["tokens"] for row in ROWS],
            "tags": INDICES,
        }

    def test_tokens_and_texts_that_nobody_tagged(self, api, tmp_path):
        table = ("t.jsonl", jsonl(ROWS))
        form = {"task": "token_classification"}
        for unlabeled in ([{"text": "Ada's café, 2nd floor"}], [{"tokens": ["Ada", "'s"], "text": "other"}]):
            dataset = post(api, form, train=table, dev=table, unlabeled=("u.jsonl", jsonl(unlabeled))).json()
            expected = unlabeled[0].get("tokens") or ["Ada", "'s", "café", ",", "2nd", "floor"]
            assert stored_table(api, dataset, "unlabeled", tmp_path) == {"tokens": [expected]}
            assert dataset["splits"]["unlabeled"]["labels"] is None

    @pytest.mark.parametrize(
        ("words", "text", "expected"),
        [
            ("我 去 了 上 海 。", "他去上海。", "他 去 上 海 。"),
            ("ฉัน ไป กรุงเทพ", "ไปกรุงเทพ", "ไป กรุงเทพ"),
            ("the U.S. and J. of A. J. met", "K. Berg, U.S.", "K. Berg , U.S."),
        ],
    )
    def test_texts_are_split_as_the_words_of_train(self, api, tmp_path, words, text, expected):
        table = (
            "t.jsonl",
            jsonl([{"tokens": words.split(), "tags": ["B-X", *["O"] * words.count(" ")]}] * 2),
        )
        unlabeled = ("u.jsonl", jsonl([{"text": text}]))
        form = {"task": "token_classification"}
        dataset = post(api, form, unlabeled=unlabeled, dev=table, train=table).json()
        assert stored_table(api, dataset, "unlabeled", tmp_path) == {"tokens": [expected.split()]}

    def test_unlabeled_tokens_after_texts(self, api):
        """The texts are split; what is split already would be lost."""
        table = ("t.jsonl", jsonl(ROWS))
        rows = [{"text": "Ada sings"}, {"text": "no names", "tokens": ["no", "names"]}]
        unlabeled = ("u.jsonl", jsonl(rows))
        response = post(api, {"task": "token_classification"}, train=table, dev=table, unlabeled=unlabeled)
        detail = refused(api, response, "inconsistent_columns")
        assert detail.startswith("unlabeled, line 2: the column 'tokens' is missing")

    def test_unlabeled_without_either(self, api):
        table = ("t.jsonl", jsonl(ROWS))
        response = post(
            api,
            {"task": "token_classification"},
            train=table,
            dev=table,
            unlabeled=("u.jsonl", jsonl([{"body": "x"}])),
        )
        assert "no column 'tokens'; the columns are 'body'" in refused(api, response, "missing_column")

    def test_columns_of_other_names(self, api, tmp_path):
        rows = [{"words": row["tokens"], "ner": row["tags"]} for row in ROWS]
        columns = json.dumps({"tokens": "words", "tags": "ner"})
        dataset = post_tags(api, rows, columns=columns).json()
        assert stored_table(api, dataset, "dev", tmp_path)["tags"] == INDICES

    def test_languages(self, api, tmp_path):
        rows = [row | {"language": language} for row, language in zip(ROWS, ["da", "no"], strict=True)]
        dataset = post_tags(api, rows + rows[:1], ROWS).json()
        assert dataset["splits"]["train"]["languages"] == {"da": 2, "no": 1}
        assert dataset["splits"]["dev"]["languages"] is None
        assert stored_table(api, dataset, "train", tmp_path)["language"] == ["da", "no", "da"]

    def test_many_rows_over_many_batches(self, api, tmp_path):
        rows = tagged(*[["O"] * 60_000 + ["B-PER", "I-PER"] for _ in range(20)], ["I-PER"])
        dataset = post_tags(api, rows, ROWS[1:]).json()
        train = dataset["splits"]["train"]
        assert (train["labels"], train["repaired_tags"]) == ({"PER": 21}, 1)
        table = stored_table(api, dataset, "train", tmp_path)
        assert [tags[-2:] for tags in table["tags"]] == [[1, 2]] * 20 + [[1]]
        assert pq.ParquetFile(tmp_path / "split.parquet").num_row_groups == 3


class TestLabels:
    @pytest.mark.parametrize(
        ("given", "names"),
        [
            (["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]),
            (["O", "B-PER", "B-LOC", "I-PER", "I-LOC"], ["O", "B-PER", "B-LOC", "I-PER", "I-LOC"]),
            (["B-LOC", "B-PER", "I-PER", "O"], ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]),
            (["PER", "LOC"], ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]),
            (["O", "I-LOC", "I-PER", "I-ORG"], ["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-ORG", "I-ORG"]),
        ],
    )
    def test_names_are_completed_in_the_given_order(self, api, tmp_path, given, names):
        dataset = post_tags(api, ROWS, labels=json.dumps(given)).json()
        assert dataset["labels"] == names
        assert stored_table(api, dataset, "train", tmp_path)["tags"] == [
            [names.index(tag) for tag in row["tags"]] for row in ROWS
        ]

    @pytest.mark.parametrize("filename", FORMATS)
    def test_numbers_are_indices_into_names(self, api, tmp_path, filename):
        given = ["B-PER", "I-PER", "B-LOC", "O"]
        rows = [{**row, "tags": [given.index(tag) for tag in row["tags"]]} for row in ROWS]
        table = (filename, FORMATS[filename](rows))
        form = {"task": "token_classification", "labels": json.dumps(given)}
        dataset = post(api, form, train=table, dev=table).json()
        assert dataset["labels"] == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
        assert stored_table(api, dataset, "train", tmp_path)["tags"] == [[1, 2, 0, 3, 0], [0, 0]]

    def test_numbers_into_plain_kinds(self, api, tmp_path):
        dataset = post_tags(api, tagged([0, 1, 1, 2]), labels='["O", "X", "Y"]').json()
        assert stored_table(api, dataset, "train", tmp_path)["tags"] == [[0, 1, 2, 3]]
        assert dataset["splits"]["train"]["repaired_tags"] == 0

    def test_numbers_without_names(self, api):
        detail = refused(api, post_tags(api, tagged(["0", "3"])), "tag_names_required")
        assert detail.startswith("train, line 1: the tag 0 is an integer. List the tag names")

    @pytest.mark.parametrize("tag", [5, -100])
    def test_a_number_outside_the_labels(self, api, tag):
        response = post_tags(api, tagged([0, 1], [0, tag]), labels=json.dumps(NAMES))
        assert f"train, line 2: the tag {tag} is out of range: 'labels' has 5" in refused(
            api, response, "unknown_labels"
        )

    def test_a_name_outside_the_labels(self, api):
        response = post_tags(api, ROWS, [*ROWS, *tagged(["O", "I-LAW"])], labels=json.dumps(NAMES))
        assert "dev, line 3: the tag 'I-LAW' is missing" in refused(api, response, "unknown_labels")

    def test_a_kind_that_train_does_not_have(self, api):
        response = post_tags(api, ROWS, [*ROWS, *tagged(["B-LAW"])])
        assert "dev, line 3: the tag 'B-LAW' has an entity type that train lacks" in refused(
            api, response, "labels_not_in_train"
        )

    def test_names_and_numbers_mixed(self, api):
        response = post_tags(api, tagged(["O", 1]), labels=json.dumps(NAMES))
        assert "line 1" in refused(api, response, "mixed_labels")

    @pytest.mark.parametrize("given", ['["O", "B-X", "Y"]', '["O", "E-X", "I-X", "E"]'])
    def test_labels_that_are_no_scheme(self, api, given):
        assert "List O" in refused(api, post_tags(api, ROWS, labels=given), "invalid_labels")

    def test_no_outside(self, api):
        response = post_tags(api, tagged(["NOUN", "VERB"]))
        assert "No token of train is tagged O" in refused(api, response, "no_outside_tag")

    def test_no_entities(self, api):
        response = post_tags(api, ROWS[1:])
        assert "Every tag of train is O" in refused(api, response, "too_few_labels")

    def test_too_many(self, api):
        rows = tagged(["O", *[f"B-{i}" for i in range(1000)]])
        assert "more than 1,000 different tags" in refused(api, post_tags(api, rows), "too_many_labels")


class TestRows:
    def test_spellings_of_a_tag_are_not_kept(self):
        """Spaces around a tag count for nothing, and there is no end of them."""
        tags = Tags("tags", None)
        tracemalloc.start()
        codes = {
            tags.read({"tags": ["O" + "\u2003" * i]}, Place("train", "line"), {"tokens": ["a"]})[0]
            for i in range(1000)
        }
        kept_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert codes == {0}
        assert kept_bytes < 100_000, "all of them take a million"

    @pytest.mark.parametrize("filename", FORMATS)
    def test_misaligned(self, api, filename):
        content = FORMATS[filename]([*ROWS, {"tokens": ["a", "b", "c"], "tags": ["O", "O"]}])
        table = (filename, content)
        response = post(api, {"task": "token_classification"}, train=table, dev=table)
        detail = refused(api, response, "misaligned_tags")
        assert "3: 2 tags for 3 tokens" in detail or "4: 2 tags for 3 tokens" in detail
        assert (response.json()["tags"], response.json()["tokens"]) == (2, 3)

    @pytest.mark.parametrize(
        ("token", "says"),
        [("", "is empty"), (" ", "' '"), (None, "is empty"), (7, "an int (7)"), (["x"], "list")],
    )
    def test_a_token_that_is_none(self, api, token, says):
        rows = [*ROWS, {"tokens": ["a", token], "tags": ["O", "O"]}]
        detail = refused(api, post_tags(api, rows), "invalid_token")
        assert detail.startswith("train, line 3: token 2 of 'tokens'")
        assert says in detail

    def test_half_a_character(self, api):
        refused(api, post_tags(api, [{"tokens": ["\ud800"], "tags": ["O"]}]), "invalid_text")

    @pytest.mark.parametrize(
        ("tag", "code"),
        [
            (None, "invalid_tag"),
            ("", "invalid_tag"),
            (True, "invalid_tag"),
            (1.0, "invalid_tag"),
            (["O"], "invalid_tag"),
            (" ", "invalid_label"),
            ("B-\u0000", "invalid_label"),
            ("B" * 201, "invalid_label"),
        ],
    )
    def test_a_tag_that_is_none(self, api, tag, code):
        detail = refused(api, post_tags(api, tagged(["O", "B-X"], ["O", tag])), code)
        assert detail.startswith("train, line 2: ")

    @pytest.mark.parametrize("column", ["tokens", "tags"])
    @pytest.mark.parametrize(("value", "code"), [([], "empty_list"), ("", "empty_list"), (7, "invalid_list")])
    def test_lists_that_are_none(self, api, column, value, code):
        response = post_tags(api, [*ROWS, ROWS[0] | {column: value}])
        assert f"train, line 3: {column!r} is" in refused(api, response, code)

    def test_a_printed_list_in_csv(self, api, tmp_path):
        """What pandas makes of lists."""
        rows = [{name: str(value) for name, value in row.items()} for row in ROWS]
        table = ("t.csv", csv_of(rows))
        dataset = post(api, {"task": "token_classification"}, train=table, dev=table).json()
        assert stored_table(api, dataset, "train", tmp_path) == {
            "tokens": [row["tokens"] for row in ROWS],
            "tags": INDICES,
        }

    def test_a_printed_array_in_csv(self, api):
        """NumPy prints no commas: Python would join what stands between them."""
        table = ("t.csv", csv_of([{"tokens": "['a' 'b']", "tags": "['O' 'B-X']"}]))
        response = post(api, {"task": "token_classification"}, train=table, dev=table)
        assert "printed array" in refused(api, response, "invalid_list")

    @pytest.mark.parametrize("split", ["train", "dev"])
    def test_a_transfer_set_in_place_of_a_labelled_one(self, api, split):
        tables = {"train": ("t.jsonl", jsonl(ROWS)), "dev": ("d.jsonl", jsonl(ROWS))}
        tables[split] = ("u.jsonl", jsonl([{"tokens": ["a"]}]))
        detail = refused(api, post(api, {"task": "token_classification"}, **tables), "missing_column")
        assert detail.startswith(f"{split}, line 1: no column 'tags'; the columns are 'tokens'.")
        assert detail.endswith("Sentences without tags belong in the split 'unlabeled'.")
