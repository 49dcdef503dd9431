"""Questions with their contexts and answers, as SQuAD's files and the library ``datasets`` lay them out."""

import json
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from tests.app.datasets.preparing import Read, read, refused
from tests.app.datasets.test_parquet import written
from tests.app.datasets.uploads import jsonl

TASK = {"task": "question_answering"}
CONTEXT = "Ada lives in Oslo. Oslo is far from Rome."
ROME = {"text": ["Rome"], "answer_start": [36]}
NONE: dict[str, list[Any]] = {"text": [], "answer_start": []}


def row(answers: Any, **more: Any) -> dict[str, Any]:
    return {"id": "1", "question": "Where is it?", "context": CONTEXT, "answers": answers} | more


def of(*answers: Any, **options: Any) -> Read:
    """What is made of rows; the first is sound."""
    rows = [row(ROME), *(row(given) for given in answers)]
    return read(("t.jsonl", jsonl(rows)), **TASK, **options)


def test_flat_rows_as_the_library_has_them():
    found = of(NONE)
    assert found.rows == {
        "question": ["Where is it?"] * 2,
        "context": [CONTEXT] * 2,
        "answers": [ROME, NONE],
    }
    assert found.prepared.splits["train"].unanswerable == 1
    assert found.reading.warnings == []


def test_parquet_as_the_hub_has_it():
    table = pa.table({name: [row(given)[name] for given in (ROME, NONE)] for name in row(ROME)})
    assert read(("t.parquet", written(table)), **TASK).rows["answers"] == [ROME, NONE]


def test_json_in_a_cell_of_csv():
    cell = json.dumps(ROME).replace('"', '""')
    content = f'question,context,answers\nWhere?,{CONTEXT},"{cell}"\n'
    assert read(("t.csv", content.encode()), **TASK).rows["answers"] == [ROME]


class TestSquad:
    def file(self, *questions: dict[str, Any], indent: int | None = None) -> tuple[str, bytes]:
        paragraphs = [{"context": CONTEXT, "qas": list(questions)}]
        document = {"version": "v2.0", "data": [{"title": "Towns", "paragraphs": paragraphs}]}
        return "train-v2.0.json", json.dumps(document, indent=indent).encode()

    ASKED: ClassVar[dict[str, Any]] = {
        "id": "a",
        "question": "From where?",
        "answers": [{"text": "Rome", "answer_start": 36}],
    }

    @pytest.mark.parametrize("indent", [None, 1])
    def test_nested_paragraphs(self, indent):
        impossible = {
            "id": "b",
            "question": "Why?",
            "answers": [],
            "is_impossible": True,
            "plausible_answers": [{"text": "Oslo", "answer_start": 13}],
        }
        found = read(self.file(self.ASKED, impossible, indent=indent), **TASK)
        assert found.rows["question"] == ["From where?", "Why?"]
        assert found.rows["context"] == [CONTEXT, CONTEXT]
        assert found.rows["answers"] == [ROME, NONE]
        assert found.train.format == "json"
        assert "SQuAD" in found.train.options.values()

    def test_several_annotators(self):
        answers = [*self.ASKED["answers"], {"text": "Oslo", "answer_start": 13}]
        found = read(self.file(self.ASKED | {"answers": answers}), **TASK)
        assert found.rows["answers"] == [{"text": ["Rome", "Oslo"], "answer_start": [36, 13]}]

    def test_an_impossible_question_has_no_answer_whatever_else_it_says(self):
        found = read(self.file(self.ASKED, self.ASKED | {"is_impossible": True}), **TASK)
        assert found.rows["answers"] == [ROME, NONE]

    def test_a_file_of_one_long_line(self):
        found = read(self.file(*[self.ASKED | {"id": "x" * 1000}] * 1_200), **TASK)
        assert found.prepared.splits["train"].rows == 1_200

    def test_something_else_among_its_questions(self):
        assert "not a JSON object" in refused(self.file(self.ASKED, "Why?"), **TASK).message  # type: ignore[arg-type]


class TestPlaces:
    @pytest.mark.parametrize("start", [0, 35, -1, 900, None])
    def test_that_are_wrong_are_repaired_where_the_context_has_the_answer_once(self, start):
        found = of({"text": ["Rome"], "answer_start": [start]})
        assert found.rows["answers"] == [ROME, ROME]
        assert list(found.train.repaired.values()) == [1]

    def test_of_answers_with_spaces_at_their_ends(self):
        found = of({"text": [" Rome"], "answer_start": [35]})
        assert found.rows["answers"] == [ROME, ROME]
        assert list(found.train.repaired) == ["answers with spaces at their ends, which were cut off"]

    @pytest.mark.parametrize("answers", ["Rome", ["Rome"], '["Rome"]', {"text": "Rome"}])
    def test_that_nobody_gives(self, answers):
        """As of language models."""
        found = of(answers, ["Oslo"])
        assert found.rows["answers"] == [ROME, ROME]
        assert list(found.train.repaired) == ["answers without answer_start, that the context has once"]
        [left_out] = found.train.left_out
        assert left_out.reason.endswith("and no answer_start says which is meant")

    def test_that_may_be_several_are_left_out_and_counted(self):
        found = of({"text": ["Oslo"], "answer_start": [1]}, {"text": ["Paris"], "answer_start": [0]})
        assert found.rows["answers"] == [ROME]
        assert [(entry.rows, entry.first) for entry in found.train.left_out] == [(1, [2]), (1, [3])]
        assert [entry.reason for entry in found.train.left_out] == [
            "the context has the answer several times, and none where answer_start is",
            "the context does not have the answer",
        ]
        assert found.prepared.splits["train"].unanswerable == 0


class TestRefusals:
    @pytest.mark.parametrize(
        "answers",
        [
            "{Rome",
            7,
            [7],
            {"text": [3], "answer_start": [0]},
            {"text": ["Rome"], "answer_start": ["36"]},
            {"text": ["Rome", "Oslo"], "answer_start": [36]},
            {"text": ["Rome"], "answer_start": [True]},
            {"answer_start": [36]},
            {"text": [" "], "answer_start": [3]},
        ],
        ids=str,
    )
    def test_of_other_answers(self, answers):
        error = refused(("t.jsonl", jsonl([row(ROME), row(answers)])), **TASK)
        assert error.code == "invalid_answers"
        assert "line 2" in error.message

    def test_where_nothing_has_an_answer(self):
        assert refused(("t.jsonl", jsonl([row(NONE)])), **TASK).code == "too_few_answers"

    def test_of_labels_and_scores(self):
        table = ("t.jsonl", jsonl([row(ROME, teacher_scores=[0.1, 0.9])]))
        assert "teacher_scores" in refused(table, **TASK).message
        assert refused(("t.jsonl", jsonl([row(ROME)])), labels=["a"], **TASK).code == "labels_not_allowed"

    def test_without_a_context(self):
        error = refused(("t.jsonl", jsonl([{"question": "Why?", "answers": NONE}])), **TASK)
        assert error.code == "missing_column"
        assert "'context'" in error.message


def test_no_answers_are_needed_where_there_are_no_labels():
    unlabeled = [{"question": "Why?", "context": "Because."}, {"question": "Why?", "context": None}]
    found = of(unlabeled=("u.jsonl", jsonl(unlabeled)))
    assert found.stored["unlabeled"] == {"question": ["Why?"], "context": ["Because."]}


def test_columns_of_other_names():
    rows = [{"q": "Where?", "text": CONTEXT, "a": ROME}]
    columns = {"question": "q", "context": "text", "answers": "a"}
    for table in (("t.jsonl", jsonl(rows)), ("t.parquet", written(pa.Table.from_pylist(rows)))):
        assert read(table, columns=columns, **TASK).rows["answers"] == [ROME]
