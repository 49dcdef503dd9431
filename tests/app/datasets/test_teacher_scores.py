"""What teachers say of rows, in every form, and what becomes of it."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest, TooLarge
from app.domain.tasks import TASKS, Task
from app.intake.datasets.columns import ColumnNames
from app.intake.datasets.given import Table
from app.intake.datasets.tables import Prepared, prepare
from tests.app.datasets.uploads import csv_of, jsonl, parquet_of, post, refused, stored_table

SCORES = "teacher_scores"
ROWS = [
    {"text": "good", "label": "yes"},
    {"text": "bad", "label": "no"},
    {"text": "fine", "label": "yes"},
    {"text": "poor", "label": "no"},
]
FLOOR = math.log(1e-6)


def read(
    folder: Path,
    task: Task = "text_classification",
    *,
    labels: list[str] | None = None,
    are: Any = "probabilities",
    max_bytes: int = 10**7,
    **tables: list[dict[str, Any]] | tuple[str, bytes],
) -> Prepared:
    """A data set of rows, or of files with their names."""
    files = {
        split: table if isinstance(table, tuple) else (f"{split}.jsonl", jsonl(table))
        for split, table in tables.items()
    }
    return prepare(
        {split: Table(io.BytesIO(content), name) for split, (name, content) in files.items()},
        folder,
        task=task,
        columns=ColumnNames(),
        labels=labels,
        max_rows=1000,
        max_bytes=max_bytes,
        scores_are=are,
    )


def stored(folder: Path, split: Split = "train", teacher: str = "teacher") -> list[Any]:
    rows = pq.read_table(folder / f"{split}.parquet")[SCORES].to_pylist()
    return [row[teacher] for row in rows]


def scored(*scores: Any, rows: list[dict[str, Any]] = ROWS) -> list[dict[str, Any]]:
    """Rows with scores; None: none of it."""
    padded = [*scores, *[None] * (len(rows) - len(scores))]
    return [row if said is None else row | {SCORES: said} for row, said in zip(rows, padded, strict=True)]


def logits(*probabilities: float) -> Any:
    return pytest.approx([max(math.log(p) if p else FLOOR, FLOOR) for p in probabilities])


FORMS = {
    "list": [0.1, 0.9],
    "map": {"yes": 0.9, "no": 0.1},
    "part of a map": {"yes": 0.9},
    "label with its confidence": {"label": "yes", "score": 0.9},
    "pipeline": [{"label": "yes", "score": 0.9}, {"label": "no", "score": 0.1}],
}


class TestForms:
    @pytest.mark.parametrize("form", FORMS)
    def test_one_text_said_in_every_form(self, tmp_path, form):
        prepared = read(tmp_path, train=scored(None, FORMS[form]), dev=ROWS)
        assert stored(tmp_path) == [None, logits(0.1, 0.9), None, None]
        summary = prepared.splits["train"].teacher_scores["teacher"]
        assert (summary.rows, summary.agreement) == (1, 0)
        assert prepared.splits["dev"].teacher_scores is None
        assert SCORES not in pq.read_schema(tmp_path / "dev.parquet").names

    def test_a_label_alone_is_certain(self, tmp_path):
        read(tmp_path, train=scored("yes"), dev=ROWS)
        assert stored(tmp_path)[0] == logits(0, 1)

    @pytest.mark.parametrize("form", FORMS)
    def test_in_csv_as_json(self, tmp_path, form):
        lines = ["text,label,teacher_scores"]
        lines += [
            '{text},{label},"{said}"'.format(**row, said=json.dumps(FORMS[form]).replace('"', '""'))
            for row in ROWS
        ]
        read(tmp_path, train=("t.csv", "\n".join(lines).encode()), dev=ROWS)
        assert stored(tmp_path) == [logits(0.1, 0.9)] * 4

    def test_an_empty_cell_says_nothing(self, tmp_path):
        table = csv_of([row | {SCORES: "yes" if row["text"] == "good" else ""} for row in ROWS])
        read(tmp_path, train=("t.csv", table), dev=ROWS)
        assert stored(tmp_path) == [logits(0, 1), None, None, None]

    def test_lists_of_parquet(self, tmp_path):
        table = parquet_of(scored([0.1, 0.9], [0.5, 0.5], None, [1.0, 0.0]))
        read(tmp_path, train=("t.parquet", table), dev=ROWS)
        assert stored(tmp_path) == [logits(0.1, 0.9), logits(0.5, 0.5), None, logits(1, 0)]

    def test_objects_of_parquet_as_json(self, tmp_path):
        rows = [row | {SCORES: json.dumps({"llm": {"yes": 0.9}})} for row in ROWS]
        read(tmp_path, train=("t.parquet", parquet_of(rows)), dev=ROWS)
        assert stored(tmp_path, teacher="llm") == [logits(0.1, 0.9)] * 4

    def test_logits_are_kept_to_the_bit(self, tmp_path):
        said = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32).tolist()
        read(tmp_path, train=scored(*said), dev=ROWS, are="logits")
        assert stored(tmp_path) == said

    def test_lists_are_in_the_order_of_the_given_labels(self, tmp_path):
        prepared = read(tmp_path, train=scored([0.9, 0.1]), dev=ROWS, labels=["yes", "no"])
        assert stored(tmp_path)[0] == logits(0.9, 0.1)
        assert prepared.splits["train"].teacher_scores["teacher"].agreement == 1

    def test_several_teachers(self, tmp_path):
        said = {"gpt": {"label": "yes", "score": 0.8}, "ensemble": [0.3, 0.7]}
        prepared = read(tmp_path, train=scored(said, {"gpt": "no"}), dev=ROWS)
        assert stored(tmp_path, teacher="gpt")[:2] == [logits(0.2, 0.8), logits(1, 0)]
        assert stored(tmp_path, teacher="ensemble")[:2] == [logits(0.3, 0.7), None]
        counted = prepared.splits["train"].teacher_scores
        assert {name: summary.rows for name, summary in counted.items()} == {"ensemble": 1, "gpt": 2}

    def test_several_labels(self, tmp_path):
        rows = [
            {"text": "x", "labels": ["a", "b"]},
            {"text": "y", "labels": ["c"]},
            {"text": "z", "labels": []},
        ]
        said = scored([0.5, 0.9, 0.0], ["a", "c"], {"b": 0.25}, rows=rows)
        read(tmp_path, "multi_label_classification", train=said, dev=rows)
        assert stored(tmp_path) == [
            pytest.approx([0, math.log(9), FLOOR]),
            pytest.approx([-FLOOR, FLOOR, -FLOOR], abs=1e-5),
            pytest.approx([FLOOR, math.log(1 / 3), FLOOR]),
        ]

    def test_numbers(self, tmp_path):
        rows = [{"text": "x", "score": 1}, {"text": "y", "score": 2}, {"text": "z", "score": 3}]
        read(tmp_path, "text_regression", train=scored(1.25, {"a": "2", "b": 7}, rows=rows), dev=rows)
        assert stored(tmp_path)[:2] == [[1.25], None]
        assert stored(tmp_path, teacher="b")[1] == [7]

    def test_texts(self, tmp_path):
        rows = [{"source": "a cat", "target": "eine Katze"}, {"source": "a dog", "target": "ein Hund"}]
        read(tmp_path, "translation", train=scored("ne Katze", rows=rows), dev=rows)
        assert stored(tmp_path) == ["ne Katze", None]

    def test_words_by_names_of_other_schemes(self, tmp_path):
        rows = [{"tokens": ["in", "New", "York"], "tags": ["O", "B-LOC", "I-LOC"]}]
        said = ["O", {"B-LOC": 0.5, "U-LOC": 0.25}, {"label": "E-LOC", "score": 1}]
        prepared = read(tmp_path, "token_classification", train=scored(said, rows=rows), dev=rows)
        assert prepared.labels == ["O", "B-LOC", "I-LOC"]
        expected = np.log([[1, 1e-6, 1e-6], [0.125, 0.75, 0.125], [1e-6, 1e-6, 1]])
        assert np.allclose(np.reshape(stored(tmp_path)[0], (3, 3)), expected, atol=1e-6)
        assert prepared.splits["train"].teacher_scores["teacher"].agreement == 1

    def test_lists_of_words_are_in_the_order_of_the_given_tags(self, tmp_path):
        rows = [{"tokens": ["Rome", "is"], "tags": ["S-LOC", "O"]}]
        tags = ["B-LOC", "I-LOC", "E-LOC", "S-LOC", "O"]
        said = [[0.1, 0.05, 0.15, 0.6, 0.1], [0, 0, 0, 0, 1]]
        prepared = read(
            tmp_path, "token_classification", train=scored(said, rows=rows), dev=rows, labels=tags
        )
        assert prepared.labels == ["O", "B-LOC", "I-LOC"]
        expected = np.log([[0.1, 0.7, 0.2], [1, 1e-6, 1e-6]])
        assert np.allclose(np.reshape(stored(tmp_path)[0], (2, 3)), expected, atol=1e-6)

    def test_many_rows_over_many_chunks(self, tmp_path, monkeypatch):
        monkeypatch.setattr("app.intake.datasets.score_columns.CHUNK_NUMBERS", 64)
        draw = np.random.default_rng(0)
        rows, said = [], []
        for i in range(300):
            words = int(draw.integers(1, 40))
            rows.append({"tokens": ["w"] * words, "tags": ["O"] * (words - 1) + [f"B-{i % 2}"]})
            said.append(draw.dirichlet(np.ones(5), size=words).round(6).tolist() if i % 3 else None)
        read(tmp_path, "token_classification", train=scored(*said, rows=rows), dev=rows[:2])
        for found, given in zip(stored(tmp_path), said, strict=True):
            assert (found is None) == (given is None)
            if given is not None:
                assert np.allclose(np.exp(np.reshape(found, (-1, 5))), np.clip(given, 1e-6, 1), atol=1e-6)


class TestNoLabels:
    """Splits whose rows have nothing to predict but what teachers say."""

    def test_of_dev(self, tmp_path):
        dev = [{"text": "x", SCORES: "yes"}, {"text": "y", SCORES: {"no": 0.6}}]
        prepared = read(tmp_path, train=ROWS, dev=dev)
        summary = prepared.splits["dev"]
        assert (summary.labelled_by_teacher, summary.labels) == (True, None)
        assert pq.read_schema(tmp_path / "dev.parquet").names == ["text", SCORES]
        assert prepared.splits["train"].labelled_by_teacher is None

    @pytest.mark.parametrize("labels", [None, ["yes", "no"]])
    def test_of_all(self, tmp_path, labels):
        rows = [{"text": "x", SCORES: "yes"}, {"text": "y", SCORES: {"no": 0.6, "yes": 0.4}}]
        prepared = read(tmp_path, train=rows, dev=rows, labels=labels)
        assert prepared.labels == (labels or ["no", "yes"])

    def test_lists_alone_need_names(self, tmp_path):
        rows = [{"text": "x", SCORES: [0.5, 0.5]}]
        with pytest.raises(InvalidRequest, match="List the labels in 'labels'") as caught:
            read(tmp_path, train=rows, dev=rows)
        assert caught.value.code == "labels_required"
        (tmp_path / "again").mkdir()
        assert read(tmp_path / "again", train=rows, dev=rows, labels=["no", "yes"]).labels == ["no", "yes"]

    def test_indices_of_dev_are_those_of_the_names(self, tmp_path):
        train = [{"text": "x", SCORES: [0.5, 0.5]}]
        dev = [{"text": "x", "label": 1}, {"text": "x", "label": 0}]
        read(tmp_path, train=train, dev=dev, labels=["no", "yes"])
        assert pq.read_table(tmp_path / "dev.parquet")["label"].to_pylist() == [1, 0]

    def test_of_words(self, tmp_path):
        rows = [
            {"tokens": ["in", "Rome"], SCORES: ["O", {"label": "S-LOC", "score": 0.9}]},
            {"tokens": ["x"], SCORES: ["I-LOC"]},
        ]
        prepared = read(tmp_path, "token_classification", train=rows, dev=rows[:1])
        assert prepared.labels == ["O", "B-LOC", "I-LOC"]

    @pytest.mark.parametrize(
        ("task", "row"),
        [
            ("text_regression", {"text": "x", SCORES: 2.5}),
            ("translation", {"source": "x", SCORES: "y"}),
            ("multi_label_classification", {"text": "x", SCORES: ["a", "b"]}),
        ],
    )
    def test_of_other_tasks(self, tmp_path, task, row):
        prepared = read(tmp_path, task, train=[row], dev=[row])
        assert all(summary.labelled_by_teacher for summary in prepared.splits.values())

    def test_a_row_with_a_label(self, tmp_path):
        rows = [{"text": "x", SCORES: "yes"}, ROWS[0] | {SCORES: "no"}]
        with pytest.raises(InvalidRequest, match=r"line 2: .* all rows of the split or in none"):
            read(tmp_path, train=ROWS, dev=rows)

    def test_a_row_with_neither(self, tmp_path):
        rows = [{"text": "x", SCORES: "yes"}, {"text": "y"}]
        with pytest.raises(InvalidRequest, match="neither a label nor 'teacher_scores'"):
            read(tmp_path, train=ROWS, dev=rows)


class TestFaults:
    @pytest.mark.parametrize(
        ("said", "what"),
        [
            ([0.1, 0.2], "sum to 0.3 and not to 1. If these are logits"),
            ([0.9, 0.9], "sum to 1.8"),
            ({"yes": 0.6, "no": 0.1}, "sum to 0.7"),
            ([3.1, -2.0], "-2, which is no probability"),
            ([10, 90], "90, which is no probability"),
            ([0.5, math.nan], "nan"),
            ([0.5, math.inf], "inf"),
            ([0.5, 1e39], "1e+39"),
            ([0.5, 10**400], "an int"),
            ([0.5, True], "a bool"),
            ([0.5, "0.5"], "a str"),
            ([0.2, 0.3, 0.5], "3 numbers for 2 labels: 'no', 'yes'. Use one for each, in this order"),
            ([], "a list ([])"),
            (0.7, "a float"),
            ("maybe", "the label 'maybe', which is none of 'no', 'yes'"),
            ({"label": "Yes", "score": 0.9}, "the label 'Yes'"),
            ([{"label": "yes", "score": 0.9}, {"label": "yes", "score": 0.1}], "a label twice"),
            ({"gpt": [0.2, 0.3]}, "sum to 0.5"),
            ({"x" * 101: [0.5, 0.5]}, "a teacher whose name"),
            ({f"t{i}": "yes" for i in range(17)}, "more than 16 teachers"),
        ],
    )
    def test_what_is_no_word_of_a_teacher(self, tmp_path, said, what):
        with pytest.raises(InvalidRequest) as caught:
            read(tmp_path, train=scored(None, said), dev=ROWS)
        assert caught.value.code == "invalid_teacher_scores"
        assert what in caught.value.message
        assert caught.value.message.startswith("train, line 2: 'teacher_scores' ")

    def test_logits_of_some_labels(self, tmp_path):
        with pytest.raises(InvalidRequest, match="1 logits; each of 'no', 'yes' needs one"):
            read(tmp_path, train=scored({"yes": 3.5}), dev=ROWS, are="logits")

    def test_rounded_probabilities_are_none(self, tmp_path):
        read(tmp_path, train=scored([0.33, 0.66]), dev=ROWS)

    @pytest.mark.parametrize("said", [["O"], "O", [[0.5, 0.5, 0], "O", "O"], {"O": 1.0}])
    def test_words_without_a_counterpart(self, tmp_path, said):
        rows = [{"tokens": ["in", "Rome"], "tags": ["O", "B-LOC"]}]
        with pytest.raises(InvalidRequest, match=r"for 2 tokens|is a float"):
            read(tmp_path, "token_classification", train=scored(said, rows=rows), dev=rows)

    def test_the_first_ten_rows_are_named(self, tmp_path):
        rows = [ROWS[i % 2] | {SCORES: [1.0, 0.0] if i % 2 else [0.2, 0.3, 0.5]} for i in range(40)]
        with pytest.raises(InvalidRequest) as caught:
            read(tmp_path, train=rows, dev=ROWS)
        assert "20 rows have such a fault: 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, ..." in caught.value.message
        assert caught.value.details["rows"] == list(range(1, 20, 2))

    def test_a_task_that_cannot_use_them(self, tmp_path):
        with pytest.raises(InvalidRequest) as caught:
            read(
                tmp_path, "masked_language_modeling", train=[{"text": "x", SCORES: "y"}], dev=[{"text": "x"}]
            )
        assert caught.value.code == "teacher_scores_not_supported"

    def test_answers_of_a_teacher_are_answers(self, tmp_path):
        row = {"question": "who", "context": "Ada is here", "answers": {"text": ["Ada"], "answer_start": [0]}}
        with pytest.raises(InvalidRequest, match="Write a teacher's answers to 'answers'"):
            read(tmp_path, "question_answering", train=[row | {SCORES: "Ada"}], dev=[row])

    def test_more_numbers_than_there_may_be(self, tmp_path):
        rows = [{"text": str(i), "label": str(i), SCORES: str(i)} for i in range(100)]
        with pytest.raises(TooLarge, match="exceed the limit of 2,500 numbers"):
            read(tmp_path, train=rows, dev=ROWS[:0] or rows[:1], max_bytes=10_000)


class TestOverHttp:
    def test_form_and_answer(self, api, tmp_path):
        tables = {"train": ("t.jsonl", jsonl(scored([2.5, -1.0]))), "dev": ("d.jsonl", jsonl(ROWS))}
        response = post(api, {"teacher_scores_are": "logits"}, **tables)
        dataset = response.json()
        assert response.status_code == 201, dataset
        assert dataset["splits"]["train"][SCORES] == {"teacher": {"rows": 1, "agreement": 0}}
        assert stored_table(api, dataset, "train", tmp_path)[SCORES][0] == {"teacher": [2.5, -1.0]}

    def test_a_refusal(self, api):
        tables = {"train": ("t.jsonl", jsonl(scored([2.5, -1.0]))), "dev": ("d.jsonl", jsonl(ROWS))}
        assert "'teacher_scores_are' to 'logits'" in refused(
            api, post(api, {}, **tables), "invalid_teacher_scores"
        )

    def test_another_column(self, api):
        rows = [{**row, "llm": "yes"} for row in ROWS]
        tables = {"train": ("t.jsonl", jsonl(rows)), "dev": ("d.jsonl", jsonl(ROWS))}
        response = post(api, {"columns": json.dumps({SCORES: "llm"})}, **tables)
        assert response.json()["splits"]["train"][SCORES]["teacher"] == {"rows": 4, "agreement": 0.5}


def test_every_task_that_scores_says_how():
    assert {task for task, record in TASKS.items() if record.scoring is None} == {
        "masked_language_modeling",
        "question_answering",
    }
