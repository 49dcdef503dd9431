"""Rows without a value or a label are left out and counted; what is assumed is said."""

import pyarrow as pa
import pytest

from tests.app.datasets.preparing import read, refused
from tests.app.datasets.test_parquet import written
from tests.app.datasets.uploads import jsonl


def labelled(*labels, **options):
    return read(("t.jsonl", jsonl([{"text": "x y", "label": label} for label in labels])), **options)


def left_out(found) -> list[tuple[str, int, list[int]]]:
    return [(entry.reason, entry.rows, entry.first) for entry in found.train.left_out]


class TestNulls:
    def test_of_json(self):
        rows = [
            {"text": "x", "label": "a"},
            {"text": None, "label": "a"},
            {"text": "y", "label": None},
            {"text": "z", "label": "b"},
        ]
        found = read(("t.jsonl", jsonl(rows)))
        assert found.rows == {"text": ["x", "z"], "label": ["a", "b"]}
        assert left_out(found) == [("'text' is empty", 1, [2]), ("'label' is empty", 1, [3])]
        assert found.prepared.splits["train"].rows == 2

    def test_of_delimited_text(self):
        found = read(("t.csv", b"text,label\nx,a\n,a\ny,\n , \nz,b\n"))
        assert found.rows["text"] == ["x", "z"]
        assert left_out(found) == [("'text' is empty", 2, [3, 5]), ("'label' is empty", 1, [4])]

    def test_of_parquet(self):
        table = pa.table(
            {"text": ["x", None, "z"], "label": pa.array([1, 0, 0]), "text_pair": ["u", "v", None]}
        )
        assert refused(("t.parquet", written(table))).code == "too_few_labels"
        table = pa.table({"text": ["x", None, "z"], "label": pa.array([1, None, 0])})
        assert read(("t.parquet", written(table))).rows == {"text": ["x", "z"], "label": ["1", "0"]}

    @pytest.mark.parametrize(
        ("task", "row", "empty"),
        [
            ("text_regression", {"text": "x", "score": 1.5}, {"score": None}),
            ("text_regression", {"text": "x", "label": 1.5}, {"label": None}),
            ("translation", {"source": "x", "target": "y"}, {"target": None}),
            ("token_classification", {"tokens": ["x", "y"], "tags": ["O", "B-X"]}, {"tags": None}),
            (
                "token_classification",
                {"tokens": ["x", "y"], "tags": ["O", "B-X"]},
                {"tokens": [], "tags": []},
            ),
            ("multi_label_classification", {"text": "x", "labels": ["a", "b"]}, {"labels": None}),
            ("masked_language_modeling", {"text": "x"}, {"text": None}),
        ],
    )
    def test_of_every_task(self, task, row, empty):
        others = [row | ({"score": 2} if "score" in row else {"label": 2} if "label" in row else {})]
        found = read(("t.jsonl", jsonl([row, row | empty, *others])), task=task)
        assert found.prepared.splits["train"].rows == 2
        assert [(rows, first) for _, rows, first in left_out(found)] == [(1, [2])]

    def test_where_nothing_is_left(self):
        fault = refused(("t.jsonl", jsonl([{"text": "x", "label": None}] * 3)))
        assert fault.message.startswith(
            "train has no rows but those that were left out, 3 where 'label' is empty."
        )

    def test_texts_that_stand_for_none(self):
        found = read(("t.csv", b"text,label\nx,a\nnan,b\nnan,a\n"))
        assert found.rows["text"] == ["x", "nan", "nan"]
        assert found.reading.warnings[0].startswith("train: the text of 2 rows is 'nan'.")

    def test_only_the_first_ten_are_named(self):
        found = labelled("a", "b", *[None] * 30)
        assert left_out(found) == [("'label' is empty", 30, list(range(3, 13)))]


class TestNoLabel:
    def test_a_dash(self):
        found = labelled("entailment", "-", "neutral", "-")
        assert found.prepared.labels == ["entailment", "neutral"]
        assert left_out(found) == [("'label' is -, no label", 2, [2, 4])]
        assert found.prepared.splits["train"].words == {"p50": 2, "p95": 2, "p99": 2, "max": 2}

    def test_what_teachers_say_of_rows_that_are_left_out(self):
        rows = [{"text": "x", "label": label, "teacher_scores": "a"} for label in ("a", "-", "b")]
        found = read(("t.jsonl", jsonl(rows)))
        assert found.prepared.splits["train"].teacher_scores["teacher"].rows == 2
        assert len(found.rows["teacher_scores"]) == 2

    def test_a_dash_beside_a_plus(self):
        assert labelled("+", "-").prepared.labels == ["+", "-"]
        assert labelled("a", "-", labels=["-", "a"]).prepared.labels == ["-", "a"]

    @pytest.mark.parametrize(
        ("labels", "options", "names"),
        [
            ([0, 1, 2, -1], {}, ["0", "1", "2"]),
            ([0, 1, -1], {"labels": ["no", "yes"]}, ["no", "yes"]),
            ([-1, 1], {}, ["-1", "1"]),
            ([-2, -1, 0, 1, 2], {}, ["-2", "-1", "0", "1", "2"]),
            (["-1", "0", "1"], {"labels": ["-1", "0", "1"]}, ["-1", "0", "1"]),
        ],
    )
    def test_minus_one(self, labels, options, names):
        found = labelled(*labels, **options)
        assert found.prepared.labels == names
        assert bool(left_out(found)) == ("-1" not in names)

    def test_minus_one_beside_zero_and_one(self):
        """More often the negative one of three than none of two."""
        found = labelled(-1, 0, 1)
        assert found.prepared.labels == ["-1", "0", "1"]
        [warning] = found.reading.warnings
        assert warning.startswith("-1 is read as a label beside 0 and 1.")

    def test_minus_one_that_only_other_splits_have(self):
        dev = ("d.jsonl", jsonl([{"text": "x", "label": label} for label in (0, 1, -1)]))
        found = read(("t.jsonl", jsonl([{"text": "x", "label": label} for label in (0, 1)])), dev)
        assert found.reading.splits["dev"].left_out[0].rows == 1

    def test_a_split_without_any_label(self):
        train = ("t.jsonl", jsonl([{"text": "x", "label": label} for label in (0, 1)]))
        test = ("e.jsonl", jsonl([{"text": "x", "label": -1}] * 5))
        fault = refused(train, test=test)
        assert fault.message.startswith(
            "test has no rows but those that were left out, 5 where 'label' is -1, no"
        )

    def test_scores_of_a_split_that_has_none(self):
        train = ("t.jsonl", jsonl([{"text": "x", "score": score} for score in (0, 5)]))
        test = ("e.jsonl", jsonl([{"text": "x", "score": -1.0}] * 5))
        assert refused(train, test=test, task="text_regression").code == "no_scores"


class TestTypes:
    @pytest.mark.parametrize("labels", [[True, False], [1.0, 0.0], [0.5, 1.5]])
    def test_booleans_and_floats_are_labels_only_where_the_client_says_so(self, labels):
        table = ("t.jsonl", jsonl([{"text": "x", "label": label} for label in labels]))
        assert "label_type" in refused(table).message
        assert "label_type" in refused(table, labels=["no", "yes"]).message

    @pytest.mark.parametrize(
        ("labels", "options", "names"),
        [
            ([True, False], {"label_type": "boolean"}, ["false", "true"]),
            ([True, False], {"labels": ["False", "True"]}, ["False", "True"]),
            ([True, False], {"label_type": "boolean", "labels": ["no", "yes"]}, ["no", "yes"]),
            (["True", "FALSE"], {"label_type": "boolean"}, ["false", "true"]),
            ([1.0, 0.0], {"label_type": "float"}, ["0", "1"]),
            ([1.5, 0.0], {"label_type": "float"}, ["0", "1.5"]),
            ([1.0, 0.0], {"label_type": "float", "labels": ["no", "yes"]}, ["no", "yes"]),
            ([1.0, 0.0], {"labels": ["0.0", "1.0"]}, ["0.0", "1.0"]),
            (["1.0", "10.0", "9.0"], {"label_type": "float"}, ["1", "9", "10"]),
        ],
    )
    def test_what_the_client_says(self, labels, options, names):
        found = labelled(*labels, **options)
        assert found.prepared.labels == names
        first = names.index(str(labels[0]).lower()) if str(labels[0]).lower() in names else 1
        assert found.rows["label"][0] == names[first] or len(names) > 2

    def test_floats_in_delimited_text(self):
        fault = refused(("t.csv", b"text,label\nx,1.0\ny,0.0\n"))
        assert "numbers with a decimal point: '0.0', '1.0'" in fault.message

    def test_lists_of_one_label(self):
        found = labelled(["a"], ["b"], [])
        assert found.rows["label"] == ["a", "b"]
        assert left_out(found) == [("'label' is an empty list", 1, [3])]
        assert refused(("t.jsonl", jsonl([{"text": "x", "label": ["a", "b"]}]))).code == "several_labels"

    def test_names_that_are_hardly_meant(self):
        found = labelled("nan", "Good", "good")
        assert found.reading.warnings == [
            "'nan' is read as a label like any other. If it means none, leave it empty.",
            "The labels 'Good', 'good' differ in capitals alone.",
        ]
