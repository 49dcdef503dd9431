"""Regression, translation, masked-language modelling, and what columns mean to which task."""

import json
import time
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.app.conftest import Api
from tests.app.datasets.uploads import csv_of, jsonl, parquet_of, post, refused, stored_table

SCORED = [
    {"text": "a dog runs", "text_pair": "a dog is running", "score": 4.75},
    {"text": "a dog runs", "text_pair": "it rains", "score": 0},
]
TRANSLATED = [
    {"source": "Good morning!", "target": "Guten Morgen, allerseits!"},
    {"source": "two", "target": "zwei"},
]
LABELLED = [{"text": "fine", "label": "good"}, {"text": "dull", "label": "bad"}]


def post_rows(api: Api, task: str, rows: list[Any], *, dev: list[Any] | None = None, **form: str) -> Any:
    tables = {"train": ("t.jsonl", jsonl(rows)), "dev": ("d.jsonl", jsonl(rows if dev is None else dev))}
    return post(api, {"task": task} | form, **tables)


class TestRegression:
    @pytest.mark.parametrize(
        ("name", "make"),
        [("t.jsonl", jsonl), ("t.csv", csv_of), ("t.parquet", parquet_of)],
    )
    def test_every_format_gives_the_same(self, api, tmp_path, name, make):
        rows = [row | {"score": float(row["score"])} for row in SCORED]
        response = post(api, {"task": "text_regression"}, train=(name, make(rows)), dev=(name, make(rows)))
        dataset = response.json()
        assert response.status_code == 201, dataset
        assert (dataset["labels"], dataset["is_pair"]) == ([], True)
        train = dataset["splits"]["train"]
        assert train["scores"] == {"min": 0.0, "mean": 2.375, "max": 4.75}
        assert train["labels"] is None
        assert stored_table(api, dataset, "train", tmp_path) == {
            "text": ["a dog runs", "a dog runs"],
            "text_pair": ["a dog is running", "it rains"],
            "score": [4.75, 0.0],
        }
        assert str(pq.read_schema(tmp_path / "split.parquet").field("score").type) == "float"

    def test_label_in_place_of_score(self, api, tmp_path):
        rows = [{"text": "x", "label": label} for label in ("1", "2.5e1", " -3 ")]
        dataset = post_rows(api, "text_regression", rows).json()
        assert stored_table(api, dataset, "train", tmp_path)["score"] == [1.0, 25.0, -3.0]

    @pytest.mark.parametrize(
        ("columns", "expected"),
        [
            ({}, [4.0, 5.0]),
            ({"label": "label"}, [1.0, 2.0]),
            ({"score": "label"}, [1.0, 2.0]),
            ({"label": "score"}, [4.0, 5.0]),
        ],
    )
    def test_score_comes_before_label_unless_label_is_named(self, api, tmp_path, columns, expected):
        rows = [{"text": "x", "label": 1, "score": 4}, {"text": "x", "label": 2, "score": 5}]
        dataset = post_rows(api, "text_regression", rows, columns=json.dumps(columns)).json()
        assert stored_table(api, dataset, "train", tmp_path)["score"] == expected

    @pytest.mark.parametrize(
        "score",
        [
            "",
            "high",
            "4,5",
            "1_0",
            "nan",
            "-inf",
            float("nan"),
            float("inf"),
            1e39,
            10**400,
            True,
            [1.0],
        ],
    )
    def test_a_score_that_is_no_finite_number(self, api, score):
        rows = [*SCORED, SCORED[0] | {"score": score}]
        detail = refused(api, post_rows(api, "text_regression", rows), "invalid_score")
        assert detail.startswith("train, line 3: the score is ")
        assert "finite numbers" in detail

    @pytest.mark.parametrize("end", ["x", ""])
    @pytest.mark.parametrize("beginning", ["", "1."])
    def test_a_score_that_goes_on_and_on(self, api, beginning, end):
        def spent_on(digits: int) -> float:
            before = time.process_time()
            rows = [*SCORED, SCORED[0] | {"score": beginning + "1" * digits + end}]
            detail = refused(api, post_rows(api, "text_regression", rows), "invalid_score")
            assert detail.startswith("train, line 3: the score is a str ('1")
            assert "at most 100 characters" in detail
            return time.process_time() - before

        assert spent_on(100_000) < 100 * spent_on(1000), "its cost grows no faster than its length"

    def test_a_single_score(self, api):
        response = post_rows(api, "text_regression", SCORED[:1])
        assert "Every score of train is 4.75" in refused(api, response, "too_few_scores")

    def test_a_transfer_set_in_place_of_a_labelled_one(self, api):
        response = post_rows(api, "text_regression", SCORED, dev=[{"text": "x", "text_pair": "y"}])
        detail = refused(api, response, "missing_column")
        assert detail.startswith("dev, line 1: no column 'score'; the columns are 'text', 'text_pair'.")
        assert detail.endswith("Rows without a score belong in the split 'unlabeled'.")


class TestTranslation:
    def test_register(self, api, tmp_path):
        table = ("t.jsonl", jsonl(TRANSLATED))
        unlabeled = ("u.jsonl", jsonl([{"source": "three"}]))
        response = post(api, {"task": "translation"}, train=table, dev=table, unlabeled=unlabeled)
        dataset = response.json()
        assert response.status_code == 201, dataset
        train = dataset["splits"]["train"]
        assert train["words"] == {"p50": 1, "p95": 3, "p99": 3, "max": 3}
        assert train["target_words"] == {"p50": 1, "p95": 5, "p99": 5, "max": 5}
        assert dataset["splits"]["unlabeled"]["target_words"] is None
        assert stored_table(api, dataset, "train", tmp_path) == {
            name: [row[name] for row in TRANSLATED] for name in ("source", "target")
        }
        assert stored_table(api, dataset, "unlabeled", tmp_path) == {"source": ["three"]}

    def test_columns_that_have_the_names_of_other_fields(self, api, tmp_path):
        rows = [{"text": row["source"], "label": row["target"]} for row in TRANSLATED]
        columns = json.dumps({"source": "text", "target": "label"})
        dataset = post_rows(api, "translation", rows, columns=columns).json()
        assert stored_table(api, dataset, "dev", tmp_path)["target"] == [row["target"] for row in TRANSLATED]

    @pytest.mark.parametrize("side", ["source", "target"])
    @pytest.mark.parametrize(
        ("value", "code"),
        [("", "empty_text"), (" \n", "empty_text"), ("\u200b", "empty_text")],
    )
    def test_an_empty_side(self, api, side, value, code):
        response = post_rows(api, "translation", [*TRANSLATED, TRANSLATED[0] | {side: value}])
        assert f"train, line 3: {side!r} is empty" in refused(api, response, code)

    def test_a_transfer_set_in_place_of_a_labelled_one(self, api):
        response = post_rows(api, "translation", [{"source": "x"}])
        detail = refused(api, response, "missing_column")
        assert detail.endswith("Sentences without a translation belong in the split 'unlabeled'.")

    def test_translations_as_the_hub_has_them(self, api):
        rows = [{"translation": {"en": "x", "de": "y"}}]
        table = ("t.parquet", parquet_of(rows))
        columns = json.dumps({"source": "translation"})
        response = post(api, {"task": "translation", "columns": columns}, train=table, dev=table)
        assert "'translation' has the languages 'en', 'de'. Say which is which with columns" in refused(
            api, response, "unclear_direction"
        )


class TestMaskedLanguageModeling:
    def test_texts_alone(self, api, tmp_path):
        rows = [{"text": "one text", "label": 3}, {"text": "another", "text_pair": "not read"}]
        dataset = post_rows(api, "masked_language_modeling", rows).json()
        assert (dataset["labels"], dataset["is_pair"]) == ([], False)
        assert stored_table(api, dataset, "train", tmp_path) == {"text": ["one text", "another"]}

    def test_labels_are_refused(self, api):
        response = post_rows(api, "masked_language_modeling", LABELLED, labels='["good", "bad"]')
        assert "has no labels" in refused(api, response, "labels_not_allowed")


class TestColumns:
    def test_a_field_that_the_task_does_not_read(self, api):
        response = post_rows(api, "translation", TRANSLATED, columns='{"tokens": "source"}')
        assert "unknown fields tokens; translation supports source, target, language" in refused(
            api, response, "invalid_columns"
        )

    def test_score_and_label(self, api):
        columns = '{"score": "score", "label": "label"}'
        response = post_rows(api, "text_regression", SCORED, columns=columns)
        assert "Use one" in refused(api, response, "invalid_columns")

    def test_null_means_left_out(self, api):
        columns = '{"text": "text", "text_pair": null, "tokens": null}'
        assert post_rows(api, "text_classification", LABELLED, columns=columns).status_code == 201

    def test_languages_as_labels(self, api, tmp_path):
        """A column is what the client says; its name alone does not make it each row's language."""
        rows = [{"text": "god dag", "language": "da"}, {"text": "good day", "language": "en"}]
        dataset = post_rows(api, "text_classification", rows, columns='{"label": "language"}').json()
        assert dataset["labels"] == ["da", "en"]
        assert dataset["splits"]["train"]["languages"] is None
        assert stored_table(api, dataset, "train", tmp_path).keys() == {"text", "label"}

    @pytest.mark.parametrize("name", ["text_pair", "language"])
    def test_one_that_only_later_rows_have(self, api, name):
        rows = [*LABELLED, LABELLED[0] | {name: "da"}]
        detail = refused(
            api, post_rows(api, "text_classification", LABELLED, dev=rows), "inconsistent_columns"
        )
        assert detail.startswith(f"dev, line 3: the column {name!r} is missing from the first row.")

    def test_one_of_another_name_that_only_later_rows_have(self, api):
        rows = [TRANSLATED[0], TRANSLATED[1] | {"language": "da", "lang": "da"}]
        assert "'language'" in refused(api, post_rows(api, "translation", rows), "inconsistent_columns")
        columns = '{"language": "lang"}'
        refused(api, post_rows(api, "translation", rows, columns=columns), "missing_column")

    def test_one_that_later_rows_have_and_nobody_reads(self, api):
        rows = [LABELLED[0], LABELLED[1] | {"tokens": ["dull"], "source": "web", "id": 2}]
        assert post_rows(api, "text_classification", rows).status_code == 201

    def test_a_transfer_set_in_place_of_a_labelled_one(self, api):
        response = post_rows(api, "text_classification", LABELLED, dev=[{"text": "x", "image": 7}])
        detail = refused(api, response, "missing_column")
        assert detail.startswith("dev, line 1: no column 'label'; the columns are 'text', 'image'.")
        assert detail.endswith("Rows without a label belong in the split 'unlabeled'.")


class TestLanguages:
    def test_any_task_may_have_them(self, api, tmp_path):
        for task, rows in {
            "text_classification": LABELLED,
            "text_regression": SCORED,
            "translation": TRANSLATED,
            "masked_language_modeling": LABELLED,
        }.items():
            named = [row | {"lang": language} for row, language in zip(rows, ["no", "da"], strict=True)]
            dataset = post_rows(api, task, named, columns='{"language": "lang"}').json()
            assert dataset["splits"]["dev"]["languages"] == {"da": 1, "no": 1}
            assert stored_table(api, dataset, "dev", tmp_path)["language"] == ["no", "da"]

    @pytest.mark.parametrize("language", [None, "", "  ", 3, "x" * 101, "\u0000"])
    def test_one_that_is_none(self, api, language):
        rows = [LABELLED[0] | {"language": "da"}, LABELLED[1] | {"language": language}]
        detail = refused(api, post_rows(api, "text_classification", rows), "invalid_language")
        assert detail.startswith("train, line 2: ")

    def test_a_row_without(self, api):
        rows = [LABELLED[0] | {"language": "da"}, LABELLED[1]]
        detail = refused(api, post_rows(api, "text_classification", rows, dev=LABELLED), "missing_column")
        assert detail.endswith("Set the language in all rows of a split or in none.")

    def test_named_and_not_there(self, api):
        response = post_rows(api, "text_classification", LABELLED, columns='{"language": "lang"}')
        assert "no column 'lang'" in refused(api, response, "missing_column")

    def test_too_many(self, api):
        rows = [{"text": "x", "language": f"l{i}"} for i in range(1001)]
        response = post_rows(api, "masked_language_modeling", rows)
        assert "more than 1,000 different languages" in refused(api, response, "too_many_languages")
