"""Tables in every format, and the columns that they are read from."""

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.app.datasets.test_datasets import FORMATS, ROWS, post_train
from tests.app.datasets.uploads import jsonl, parquet_of, post, refused, stored_table


class TestTables:
    @pytest.mark.parametrize("content", [b"", b"\n\n", b"text,label\n"])
    def test_empty_split(self, api, content):
        name = "t.csv" if content.startswith(b"text") else "t.jsonl"
        assert "train has no rows" in refused(api, post_train(api, name, content), "empty_split")

    def test_empty_parquet(self, api):
        table = pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())})
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        refused(api, post_train(api, "t.parquet", buffer.getvalue()), "empty_split")

    @pytest.mark.parametrize("row", ["one", "one,a,b"])
    def test_ragged_csv(self, api, row):
        content = f"text,label\nfine,a\n{row}\nfine,b\n".encode()
        problem = refused(api, post_train(api, "t.csv", content), "ragged_row")
        assert problem.startswith("train, line 3: ")
        assert "Quote cells" in problem

    @pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.tsv", "\t")])
    def test_spaces_around_the_names_of_columns(self, api, tmp_path, name, separator):
        content = f" text{separator}label \n x {separator}a\ny{separator}b\n".encode()
        dataset = post(api, train=(name, content), dev=(name, content)).json()
        assert stored_table(api, dataset, "train", tmp_path) == {"text": [" x ", "y"], "label": [0, 1]}

    def test_names_of_columns_that_only_spaces_tell_apart(self, api):
        content = b"text,label,label \nfine,a,b\n"
        refused(api, post_train(api, "t.csv", content), "invalid_header")

    def test_unclosed_quote_in_csv(self, api):
        refused(api, post_train(api, "t.csv", b'text,label\n"fine,a\nfine,b\n'), "invalid_csv")

    def test_wrong_utf8(self, api):
        content = '{"text": "fine", "label": "a"}\n{"text": "Zürich", "label": "a"}\n'.encode("latin-1")
        detail = refused(api, post_train(api, "t.jsonl", content), "invalid_utf8")
        assert detail.startswith("train, line 2: byte ")
        assert "0xfc" in detail

    @pytest.mark.parametrize("line", ["{", "[1]", "7", '{"text": "x"} x', "[" * 50_000])
    def test_not_json_lines(self, api, line):
        content = jsonl(ROWS) + line.encode() + b"\n"
        assert "line 4" in refused(api, post_train(api, "t.jsonl", content), "invalid_json")

    def test_missing_column(self, api):
        detail = refused(api, post_train(api, "t.csv", b"sentence,label\nx,a\n"), "missing_column")
        assert "the columns are 'sentence', 'label'" in detail
        assert "'columns'" in detail

    def test_a_row_without_the_column(self, api):
        content = jsonl([*ROWS, {"text": "x"}])
        assert "line 4: no column 'label'" in refused(
            api, post_train(api, "t.jsonl", content), "missing_column"
        )

    @pytest.mark.parametrize("text", ["", "  \t", "\u200b", "\ufeff \u200e\u00ad\n"])
    def test_empty_text(self, api, text):
        content = jsonl([*ROWS, {"text": text, "label": "good"}])
        assert "line 4" in refused(api, post_train(api, "t.jsonl", content), "empty_text")

    @pytest.mark.parametrize("text", [7, ["x"], "\ud800"])
    def test_text_that_is_none(self, api, text):
        content = jsonl([{"text": text, "label": "good"}])
        refused(api, post_train(api, "t.jsonl", content), "invalid_text")

    def test_text_with_formats_around_it(self, api, tmp_path):
        rows = [row | {"text": f"\u200b \u200e{row['text']}"} for row in ROWS]
        dataset = post_train(api, "t.jsonl", jsonl(rows)).json()
        assert stored_table(api, dataset, "train", tmp_path)["text"] == [row["text"] for row in rows]

    def test_pairs_in_some_splits(self, api):
        pairs = [row | {"text_pair": "y"} for row in ROWS]
        refused(api, post_train(api, "t.jsonl", jsonl(pairs)), "inconsistent_text_pairs")

    @pytest.mark.parametrize("name", ["t.xlsx", "t", "", ".gz", "t.csv.zip"])
    def test_unknown_format(self, api, name):
        response = post_train(api, name, b"x")
        assert response.status_code == 422
        assert api.stored() == []
        if name:
            refused(api, response, "unknown_format")

    @pytest.mark.parametrize("content", [b"hello", b"PAR1" + b"x" * 100, b""])
    def test_not_parquet(self, api, content):
        refused(api, post_train(api, "t.parquet", content), "invalid_parquet")

    @pytest.mark.parametrize(
        "content", [b"hello", gzip.compress(jsonl(ROWS))[:-12]], ids=["text", "truncated"]
    )
    def test_not_gzip(self, api, content):
        refused(api, post_train(api, "t.jsonl.gz", content), "invalid_gzip")

    @pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.tsv"])
    def test_line_longer_than_any_text(self, api, name):
        content = FORMATS[name]([*ROWS, {"text": "x" * 2**20, "label": "good"}])
        detail = refused(api, post_train(api, name, content), "line_too_long")
        assert detail.startswith(
            f"train, line {4 if name == 't.jsonl' else 5}: the line is longer than 1,048,576 bytes"
        )

    def test_a_row_of_more_lines_than_any_text(self, api):
        """Each cell of it is short, and holds a newline."""
        content = b'text,label\n"' + b'\n","' * 300_000 + b'"\n'
        detail = refused(api, post_train(api, "t.csv", content), "line_too_long")
        assert "the row is longer than 1,048,576 characters" in detail

    @pytest.mark.parametrize("name", FORMATS)
    def test_line_as_long_as_any_text(self, api, tmp_path, name):
        text = "x" * (2**20 - 100)
        content = FORMATS[name]([*ROWS, {"text": text, "label": "good"}])
        dataset = post_train(api, name, content).json()
        assert stored_table(api, dataset, "train", tmp_path)["text"][-1] == text

    def test_a_fault_below_a_row_of_several_lines(self, api):
        content = b'text,label\n"two\nlines",a\nx\n'
        assert "line 4" in refused(api, post_train(api, "t.csv", content), "ragged_row")

    @pytest.mark.parametrize("columns", ["{", '{"texts": "a"}', '{"text": 7}'])
    def test_columns_that_are_none(self, api, columns):
        response = post_train(api, "t.jsonl", jsonl(ROWS), columns=columns)
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"].startswith("#/columns")

    @pytest.mark.parametrize("name", ["lables", "taks", "Columns"])
    def test_a_field_that_nobody_reads(self, api, name):
        response = post_train(api, "t.jsonl", jsonl(ROWS), **{name: "x"})
        detail = refused(api, response, "unknown_field")
        assert f"Unknown field {name!r}; known fields are train, dev, name, test, unlabeled, task" in detail
        assert response.json()["errors"][0]["pointer"] == f"#/{name}"
        assert "labels" in response.json()["known"]

    def test_a_table_that_nobody_reads(self, api):
        table = ("t.jsonl", jsonl(ROWS))
        response = post(api, train=table, dev=table, unlabelled=table)
        assert "Unknown field 'unlabelled'" in refused(api, response, "unknown_field")

    def test_train_and_dev_are_required(self, api):
        response = post(api, train=("t.jsonl", jsonl(ROWS)))
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "#/dev"


class TestColumns:
    def test_a_text_longer_than_any_in_parquet(self, api):
        content = parquet_of([*ROWS, {"text": "x" * 2**21, "label": "good"}])
        assert "row 4: the row is longer" in refused(
            api, post_train(api, "t.parquet", content), "line_too_long"
        )

    def test_long_texts_are_written_in_small_batches(self, api, tmp_path):
        rows = [{"text": f"{i} {'x' * 900_000}", "label": str(i % 2)} for i in range(20)]
        dataset = post(api, train=("t.jsonl", jsonl(rows)), dev=("d.jsonl", jsonl(rows[:2]))).json()
        table = stored_table(api, dataset, "train", tmp_path)
        assert table["text"] == [row["text"] for row in rows]
        assert table["label"] == [int(row["label"]) for row in rows]
        assert pq.ParquetFile(tmp_path / "split.parquet").num_row_groups == 2

    def test_parquet_columns_that_nobody_asked_for(self, api):
        """Pandas writes times to the nanosecond, which Python cannot hold."""
        table = pa.Table.from_pylist(ROWS)
        table = table.append_column("t", pa.array([1, 2, 3], pa.timestamp("ns")))
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        assert post_train(api, "t.parquet", buffer.getvalue()).status_code == 201

    @pytest.mark.parametrize(
        ("column", "code", "says"),
        [
            (pa.array([["a"], ["b"]]), "invalid_text", "a list (['a'])"),
            (pa.array([[["a"]], [["b"]]]), "invalid_parquet", "list<"),
            (pa.array([{"en": "a", "de": "b"}] * 2), "invalid_parquet", "Split it into plain columns"),
            (pa.array([2**30, 1], pa.date32()), "invalid_parquet", "days"),
        ],
    )
    def test_parquet_columns_that_are_no_text(self, api, column, code, says):
        buffer = io.BytesIO()
        pq.write_table(pa.table({"text": column, "label": ["x", "y"]}), buffer)
        assert says in refused(api, post_train(api, "t.parquet", buffer.getvalue()), code)

    def test_a_key_that_is_no_text(self, api):
        content = b'{"\\ud800": 1, "label": "x"}\n'
        assert "no column 'text'" in refused(api, post_train(api, "t.jsonl", content), "missing_column")

    def test_a_label_is_not_quoted_at_length(self, api):
        content = jsonl([{"text": "x", "label": {"deep": "y" * 100_000}}])
        assert len(refused(api, post_train(api, "t.jsonl", content), "invalid_label")) < 300

    @pytest.mark.parametrize("columns", [{"label": "text"}, {"text_pair": "text"}])
    def test_one_column_for_two_things(self, api, columns):
        response = post_train(api, "t.jsonl", jsonl(ROWS), columns=json.dumps(columns))
        assert "another field to the column 'text'" in refused(api, response, "invalid_columns")

    def test_one_column_named_twice(self, api):
        columns = json.dumps({"text": "text", "label": "text"})
        response = post_train(api, "t.jsonl", jsonl(ROWS), columns=columns)
        assert "two fields" in refused(api, response, "invalid_columns")
