"""Columns of other makers: nested, named otherwise, with names for integers, and spans of characters."""

import json
from typing import Any

import pyarrow as pa
import pytest

from tests.app.datasets.preparing import TableFile, read, refused
from tests.app.datasets.test_parquet import written
from tests.app.datasets.uploads import jsonl

TAGGING = {"task": "token_classification"}
CLASSES = {"names": ["neg", "pos"], "_type": "ClassLabel"}
TAGS = {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}


def with_features(table: pa.Table, features: dict[str, Any]) -> TableFile:
    """A Parquet file as the library ``datasets`` writes it."""
    described = json.dumps({"info": {"features": features}})
    return "t.parquet", written(table.replace_schema_metadata({"huggingface": described}))


class TestClassLabels:
    TABLE = with_features(pa.table({"text": ["x", "y", "z"], "label": [1, 0, -1]}), {"label": CLASSES})

    def test_integers_have_the_names_of_the_file(self):
        found = read(self.TABLE)
        assert found.prepared.labels == ["neg", "pos"]
        assert found.rows["label"] == ["pos", "neg"]
        assert found.reading.label_order == "class_label"
        assert [entry.reason for entry in found.train.left_out] == ["'label' is -1, no label"]

    def test_each_file_by_its_own_names(self):
        turned = CLASSES | {"names": ["pos", "neg"]}
        dev = with_features(pa.table({"text": ["x", "y"], "label": [1, 0]}), {"label": turned})
        assert read(self.TABLE, dev).stored["dev"]["label"] == ["neg", "pos"]
        assert read(
            ("t.jsonl", jsonl([{"text": "x", "label": name} for name in ("pos", "neg")])), dev
        ).stored["dev"]["label"] == ["neg", "pos"]

    def test_beside_those_of_the_client(self):
        assert read(self.TABLE, labels=["pos", "neg"]).rows["label"] == ["pos", "neg"]
        assert read(self.TABLE, labels=["pos", "so", "neg"]).rows["label"] == ["pos", "neg"]
        replaced = read(self.TABLE, labels=["bad", "good"])
        assert replaced.rows["label"] == ["good", "bad"]
        assert (
            "'labels' replaces the names that the file of train has: 'neg', 'pos'."
            in replaced.reading.warnings
        )
        assert refused(self.TABLE, labels=["a", "b", "c"]).code == "labels_mismatch"

    def test_a_label_without_a_name(self):
        table = with_features(pa.table({"text": ["x", "y"], "label": [0, 2]}), {"label": CLASSES})
        assert "the label 2 is out of range: the file names 2 labels" in refused(table).message

    @pytest.mark.parametrize(
        "feature",
        [{"feature": TAGS, "_type": "List"}, {"feature": TAGS, "length": -1, "_type": "Sequence"}, [TAGS]],
    )
    def test_of_lists(self, feature):
        table = pa.table({"tokens": [["a", "b"], ["c"]], "ner_tags": [[1, 2], [0]]})
        found = read(with_features(table, {"ner_tags": feature}), **TAGGING)
        assert found.rows["tags"] == [["B-PER", "I-PER"], ["O"]]
        assert found.train.columns == {"tokens": "tokens", "tags": "ner_tags"}

    def test_of_several_labels_a_text(self):
        table = pa.table({"text": ["x", "y"], "labels": [[1, 0], []]})
        found = read(
            with_features(table, {"labels": {"feature": CLASSES}}), task="multi_label_classification"
        )
        assert found.rows["labels"] == [["neg", "pos"], []]

    @pytest.mark.parametrize(
        "metadata", ["{", "[]", '{"info": 1}', '{"info": {"features": {"label": {"names": [1]}}}}']
    )
    def test_metadata_that_say_nothing(self, metadata):
        table = pa.table({"text": ["x", "y"], "label": [1, 0]}).replace_schema_metadata(
            {"huggingface": metadata}
        )
        assert read(("t.parquet", written(table))).prepared.labels == ["0", "1"]


class TestTranslations:
    ROWS = (
        {"id": "0", "translation": {"de": "gut", "en": "good"}},
        {"id": "1", "translation": {"de": "zwei", "en": "two"}},
    )

    @pytest.mark.parametrize("kind", ["jsonl", "parquet"])
    @pytest.mark.parametrize(
        ("columns", "source"),
        [
            ({}, "de"),
            ({"source": "translation.en", "target": "translation.de"}, "en"),
            ({"source": "en", "target": "de"}, "en"),
            ({"source": "en"}, "en"),
        ],
    )
    def test_a_map_from_language_to_text(self, kind, columns, source):
        rows = list(self.ROWS)
        table = (
            ("t.jsonl", jsonl(rows))
            if kind == "jsonl"
            else ("t.parquet", written(pa.Table.from_pylist(rows)))
        )
        found = read(table, task="translation", columns=columns)
        target = "en" if source == "de" else "de"
        assert found.rows == {
            "source": [row["translation"][source] for row in rows],
            "target": [row["translation"][target] for row in rows],
        }
        assert found.train.columns == {"source": f"translation.{source}", "target": f"translation.{target}"}
        assert found.train.other_columns == ["id"]
        assert bool(found.reading.warnings) == (not columns)

    def test_of_more_than_two_languages(self):
        table = ("t.jsonl", jsonl([{"translation": {"de": "x", "en": "y", "fr": "z"}}]))
        fault = refused(table, task="translation")
        assert "has the languages 'de', 'en', 'fr'. Say which is which with columns" in fault.message
        columns = {"source": "fr", "target": "en"}
        assert read(table, task="translation", columns=columns).rows == {"source": ["z"], "target": ["y"]}

    def test_a_row_without_a_side(self):
        rows = [*self.ROWS, {"translation": {"de": None, "en": "x"}}, {"translation": None}]
        found = read(("t.jsonl", jsonl(rows)), task="translation")
        assert found.train.left_out[0].rows == 2

    def test_unlabeled(self):
        unlabeled = ("u.jsonl", jsonl([{"translation": {"de": "x", "en": "y"}}]))
        found = read(("t.jsonl", jsonl(list(self.ROWS))), unlabeled=unlabeled, task="translation")
        assert found.stored["unlabeled"] == {"source": ["x"]}


def test_columns_named_as_a_path():
    rows = [{"meta": {"body": body}, "label": label} for body, label in (("x", "a"), ("y", "b"), (None, "a"))]
    for table in (("t.jsonl", jsonl(rows)), ("t.parquet", written(pa.Table.from_pylist(rows)))):
        found = read(table, columns={"text": "meta.body"})
        assert found.rows["text"] == ["x", "y"]
        assert found.train.columns["text"] == "meta.body"


TEXT = "Ada Lovelace met Bob in U.S. Steel's office."
ENTITIES = [[0, 12, "PER"], [17, 20, "PER"], [24, 34, "ORG"]]
WORDS = ["Ada", "Lovelace", "met", "Bob", "in", "U", ".", "S", ".", "Steel", "'", "s", "office", "."]
MARKS = ["B-PER", "I-PER", "O", "B-PER", "O", *["B-ORG"], *["I-ORG"] * 4, *["O"] * 4]
OBJECTS = [{"start": start, "end": end, "label": type_} for start, end, type_ in ENTITIES]
RESULTS = [
    {
        "from_name": "ner",
        "to_name": "text",
        "type": "labels",
        "value": {"start": start, "end": end, "text": TEXT[start:end], "labels": [type_]},
    }
    for start, end, type_ in ENTITIES
]
TASK = {"id": 7, "data": {"text": TEXT}, "annotations": [{"was_cancelled": False, "result": RESULTS}]}


class TestSpans:
    @pytest.mark.parametrize(
        "table",
        [
            ("doccano.jsonl", jsonl([{"id": 1, "text": TEXT, "label": ENTITIES}])),
            ("doccano.jsonl", jsonl([{"id": 1, "text": TEXT, "labels": ENTITIES, "meta": {}}])),
            (
                "doccano.jsonl",
                jsonl(
                    [
                        {
                            "text": TEXT,
                            "entities": [
                                {"id": 1, "label": type_, "start_offset": start, "end_offset": end}
                                for start, end, type_ in ENTITIES
                            ],
                            "relations": [],
                        }
                    ]
                ),
            ),
            ("prodigy.jsonl", jsonl([{"text": TEXT, "spans": OBJECTS, "answer": "accept"}])),
            ("spacy.json", json.dumps([[TEXT, {"entities": ENTITIES}]]).encode()),
            ("spacy.json", json.dumps([{"text": TEXT, "ents": OBJECTS, "tokens": []}]).encode()),
            (
                "annotator.json",
                json.dumps(
                    {"classes": ["PER"], "annotations": [[TEXT, {"entities": ENTITIES}], None]}
                ).encode(),
            ),
            ("studio.json", json.dumps([TASK]).encode()),
            ("studio.json", json.dumps([TASK | {"annotations": [{"was_cancelled": True}]}, TASK]).encode()),
            (
                "studio.json",
                json.dumps([{"text": TEXT, "label": [result["value"] for result in RESULTS]}]).encode(),
            ),
            ("t.parquet", written(pa.table({"text": [TEXT], "entities": [OBJECTS]}))),
        ],
        ids=lambda table: table[0],
    )
    def test_of_every_tool(self, table):
        found = read(table, **TAGGING)
        assert found.rows == {"tokens": [WORDS], "tags": [MARKS]}
        assert found.train.options["tags"] == "spans of characters"
        assert found.train.columns["tokens"] == "text"

    def test_in_a_cell_of_delimited_text(self):
        cell = json.dumps([result["value"] for result in RESULTS]).replace('"', '""')
        content = f'id,text,label\n1,"{TEXT}","{cell}"\n2,no,"[]"\n3,none,\n'
        found = read(("studio.csv", content.encode()), **TAGGING)
        assert found.rows["tags"] == [MARKS, ["O"]]
        assert found.train.left_out[0].rows == 1

    def test_tokens_that_a_row_tells(self):
        tokens = [
            {"text": text, "start": start, "end": start + len(text), "id": i}
            for i, (text, start) in enumerate([("Ada's", 0), ("here", 6)])
        ]
        row = {"text": "Ada's here", "tokens": tokens, "spans": [{"start": 0, "end": 5, "label": "X"}]}
        assert read(("t.jsonl", jsonl([row])), **TAGGING).rows == {
            "tokens": [["Ada's", "here"]],
            "tags": [["B-X", "O"]],
        }

    def test_what_is_repaired_is_said(self):
        rows = [
            {"text": "Ada is here", "label": [[0, 4, "X"]]},
            {"text": "Berliner", "label": [[0, 6, "X"]]},
            {"text": "北京天安门", "label": [[0, 2, "X"], [2, 5, "Y"]]},
        ]
        found = read(("t.jsonl", jsonl(rows)), **TAGGING)
        assert found.rows == {
            "tokens": [["Ada", "is", "here"], ["Berlin", "er"], ["北京", "天安门"]],
            "tags": [["B-X", "O", "O"], ["B-X", "O"], ["B-X", "B-Y"]],
        }
        assert found.train.repaired == {
            "entities without the spaces around them": 1,
            "words cut where an entity begins or ends within": 2,
        }

    def test_offsets_of_browsers(self):
        value = {"start": 3, "end": 6, "text": "Ada", "labels": ["X"]}
        found = read(("t.json", json.dumps([{"text": "😀 Ada", "label": [value]}]).encode()), **TAGGING)
        assert found.rows["tags"] == [["O", "B-X"]]
        assert found.train.repaired == {"entities whose offsets count UTF-16 units": 1}

    @pytest.mark.parametrize(
        ("entities", "says"),
        [
            ([[0, 12, "PER"], [4, 12, "LOC"]], "'Ada Lovelace' (PER) and 'Lovelace' (LOC) overlap"),
            ([[0, 100, "PER"]], "goes from 0 to 100, and the text has 44"),
            ([[3, 4, "PER"]], "An entity must be text[start:end]"),
            ([[5, 5, "PER"]], "An entity must be"),
            ([[-3, 2, "PER"]], "An entity must be"),
            ([[0, 3, 7]], "Export the names of types"),
            ([{"start": 0, "end": 3}], "the type of an entity is empty"),
            ([{"start": 0, "end": 3, "label": "PER", "text": "Bob"}], "the text has no 'Bob' where"),
            ("nothing", "the entities are a str"),
        ],
    )
    def test_entities_that_are_none(self, entities, says):
        rows = [{"text": TEXT, "label": ENTITIES}, {"text": TEXT, "label": entities}]
        fault = refused(("t.jsonl", jsonl(rows)), **TAGGING)
        assert fault.message.startswith("train, line 2: ")
        assert says in fault.message


class TestClassifications:
    def test_of_label_studio(self):
        def task(*choices):
            result = {"from_name": "mood", "type": "choices", "value": {"choices": list(choices)}}
            return {"data": {"text": "x"}, "annotations": [{"result": [result]}]}

        found = read(
            (
                "t.json",
                json.dumps([task("a"), task("b"), {"data": {"text": "y"}, "annotations": []}]).encode(),
            )
        )
        assert found.rows == {"text": ["x", "x"], "label": ["a", "b"]}
        assert found.train.left_out[0].reason == "it has no annotation"
        table = ("t.json", json.dumps([task("a", "b"), task("b")]).encode())
        assert read(table, task="multi_label_classification").rows["labels"] == [["a", "b"], ["b"]]

    def test_of_spacy(self):
        rows = [["x", {"cats": {"a": 1.0, "b": 0.0}}], ["y", {"cats": {"a": 0, "b": 1}}]]
        assert read(("t.json", json.dumps(rows).encode())).rows["label"] == ["a", "b"]
