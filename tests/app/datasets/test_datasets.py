"""Data sets: canonical form of what is sound, and a refusal that names the row of what is not."""

import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core.db.jobs import Job, lock_job, move
from app.domain.errors import TooLarge
from app.domain.job_states import JobStatus
from app.intake.datasets.given import Table
from app.intake.datasets.readers import Wanted, open_table
from app.intake.datasets.rows import RowBudget
from tests.app.conftest import Api, make_settings, run_api
from tests.app.datasets.uploads import csv_of, jsonl, parquet_of, post, refused, stored_table
from tests.tiny import tiny_dataset_files

ROWS = [
    {"text": "a wonderful film!", "label": "good"},
    {"text": "dull, dull", "label": "bad"},
    {"text": "it is, as they say, fine", "label": "good"},
]


def post_train(api: Api, filename: str, content: bytes, **form: str) -> Any:
    """A data set whose train split is given; dev is sound."""
    return post(api, form, train=(filename, content), dev=("dev.jsonl", jsonl(ROWS)))


FORMATS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "t.jsonl": jsonl,
    "t.csv": csv_of,
    "t.tsv": lambda rows: csv_of(rows, "\t"),
    "t.parquet": parquet_of,
    "T.JSONL.GZ": lambda rows: gzip.compress(jsonl(rows)),
    "t.csv.gz": lambda rows: gzip.compress(csv_of(rows)),
    "t.parquet.gz": lambda rows: gzip.compress(parquet_of(rows)),
}


class TestRegister:
    @pytest.mark.parametrize("filename", FORMATS)
    def test_every_format_gives_the_same(self, api, tmp_path, filename):
        response = post_train(api, filename, FORMATS[filename](ROWS))
        dataset = response.json()
        assert response.status_code == 201, dataset
        assert dataset["labels"] == ["bad", "good"]
        assert dataset["rows"] == 6
        train = dataset["splits"]["train"]
        assert train == {
            "rows": 3,
            "labels": {"bad": 1, "good": 2},
            "words": {"p50": 4, "p95": 8, "p99": 8, "max": 8},
            "languages": None,
            "unanswerable": None,
            "repaired_tags": None,
            "scores": None,
            "teacher_scores": None,
            "labelled_by_teacher": None,
            "target_words": None,
        }
        assert stored_table(api, dataset, "train", tmp_path) == {
            "text": [row["text"] for row in ROWS],
            "label": [1, 0, 1],
        }

    def test_on_both_databases(self, api_on_both, dataset_files):
        api = api_on_both
        dataset = api.upload_dataset(dataset_files).json()
        assert api.http.get(f"/v1/datasets/{dataset['id']}").json() == dataset
        assert dataset["splits"].keys() == {"train", "dev", "test"}

    def test_pairs_and_unlabelled_texts(self, api, tmp_path):
        files = tiny_dataset_files(tmp_path / "pairs", pairs=True, unlabeled=10)
        dataset = api.upload_dataset(files).json()
        assert dataset["is_pair"] is True
        assert dataset["splits"]["unlabeled"]["labels"] is None
        assert stored_table(api, dataset, "unlabeled", tmp_path).keys() == {"text", "text_pair"}
        assert stored_table(api, dataset, "train", tmp_path).keys() == {"text", "text_pair", "label"}

    def test_columns_of_other_names(self, api, tmp_path):
        rows = [{"id": i, "sentence": row["text"], "y": row["label"]} for i, row in enumerate(ROWS)]
        columns = json.dumps({"text": "sentence", "label": "y"})
        table = ("t.csv", csv_of(rows))
        dataset = post(api, {"columns": columns}, train=table, dev=table).json()
        assert stored_table(api, dataset, "dev", tmp_path)["text"] == [row["text"] for row in ROWS]

    def test_quotes_mean_themselves_in_tsv(self, api, tmp_path):
        table = ("t.tsv", b'text\tlabel\n"half a quote\ta\n5" wide\tb\n')
        dataset = post(api, train=table, dev=table).json()
        assert stored_table(api, dataset, "train", tmp_path)["text"] == ['"half a quote', '5" wide']

    def test_newlines_and_byte_order_mark_in_csv(self, api, tmp_path):
        table = ("t.csv", b'\xef\xbb\xbftext,label\n"two\nlines",a\nb,b\n\n')
        dataset = post(api, train=table, dev=table).json()
        assert stored_table(api, dataset, "train", tmp_path)["text"] == ["two\nlines", "b"]


class TestLabels:
    @staticmethod
    def labels_of(api: Api, values: list[Any], make=jsonl, name="t.jsonl", **form: str) -> Any:
        table = (name, make([{"text": "x", "label": value} for value in values]))
        return post(api, form, train=table, dev=table)

    @pytest.mark.parametrize(
        ("make", "name"), [(jsonl, "t.jsonl"), (csv_of, "t.csv"), (parquet_of, "t.parquet")]
    )
    def test_numbers_are_sorted_as_numbers(self, api, tmp_path, make, name):
        dataset = self.labels_of(api, [10, 9, -1], make, name).json()
        assert dataset["labels"] == ["-1", "9", "10"]
        assert stored_table(api, dataset, "train", tmp_path)["label"] == [2, 1, 0]

    @pytest.mark.parametrize(("make", "name"), [(jsonl, "t.jsonl"), (csv_of, "t.csv")])
    def test_numbers_are_indices_into_names(self, api, tmp_path, make, name):
        names = ["negative", "positive"]
        dataset = self.labels_of(api, [1, 0, 1], make, name, labels=json.dumps(names)).json()
        assert dataset["labels"] == names
        assert dataset["splits"]["train"]["labels"] == {"negative": 1, "positive": 2}
        assert stored_table(api, dataset, "train", tmp_path)["label"] == [1, 0, 1]

    def test_names_come_in_the_given_order(self, api, tmp_path):
        dataset = self.labels_of(api, ["b", "a"], labels='["b", "a"]').json()
        assert dataset["labels"] == ["b", "a"]
        assert stored_table(api, dataset, "train", tmp_path)["label"] == [0, 1]

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (True, "a bool"),
            (1.0, "a float"),
            ("", "empty"),
            (" \t", "empty"),
            ([1], "a list"),
        ],
    )
    def test_other_types(self, api, value, kind):
        detail = refused(api, self.labels_of(api, ["a", value]), "invalid_label")
        assert f"train, line 2: the label is {kind}" in detail

    @pytest.mark.parametrize(
        ("make", "name"), [(jsonl, "t.jsonl"), (csv_of, "t.csv"), (parquet_of, "t.parquet")]
    )
    def test_spaces_around_them_make_no_other(self, api, tmp_path, make, name):
        form = {"labels": '["good", " bad "]'}
        dataset = self.labels_of(api, ["good", "bad ", "\u00a0good", " bad"], make, name, **form).json()
        assert dataset["labels"] == ["good", "bad"]
        assert stored_table(api, dataset, "train", tmp_path)["label"] == [0, 1, 0, 1]

    def test_names_and_numbers_mixed(self, api):
        refused(api, self.labels_of(api, ["a", 1]), "mixed_labels")

    def test_a_single_label(self, api):
        assert "needs at least two" in refused(api, self.labels_of(api, ["a", "a"]), "too_few_labels")

    def test_too_many_labels(self, api):
        assert "1,000" in refused(api, self.labels_of(api, [f"l{i}" for i in range(1001)]), "too_many_labels")

    def test_a_label_that_has_no_name(self, api):
        assert "'2'" in refused(api, self.labels_of(api, [0, 2], labels='["a", "b"]'), "unknown_labels")

    @pytest.mark.parametrize("split", ["dev", "test"])
    def test_labels_that_train_does_not_have(self, api, split):
        strange = ("s.jsonl", jsonl([*ROWS, {"text": "x", "label": "ugly"}]))
        tables = {"train": ("t.jsonl", jsonl(ROWS)), "dev": ("d.jsonl", jsonl(ROWS)), split: strange}
        assert f"{split} has labels that train lacks: 'ugly'" in refused(
            api, post(api, **tables), "labels_not_in_train"
        )

    @pytest.mark.parametrize(
        "labels", ["[", '["a"]', '["a", "a"]', '["a", "a "]', '["a", " "]', '{"a": 1}', '["a", "\\u0000"]']
    )
    def test_names_that_are_none(self, api, labels):
        assert self.labels_of(api, ["a", "b"], labels=labels).status_code == 422
        assert api.rows()["datasets"] == 0


class TestLimits:
    @pytest.fixture
    def api(self, tmp_path, postgres_url):
        settings = make_settings(tmp_path, database_url=postgres_url, max_rows=5, max_unpacked_bytes=100_000)
        yield from run_api(settings)

    def test_too_many_rows(self, api):
        assert "5 rows" in refused(api, post_train(api, "t.jsonl", jsonl(ROWS)), "too_many_rows", status=413)

    @pytest.mark.parametrize("blank", ["\n", "\r\n"])
    @pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.tsv"])
    def test_blank_lines_count(self, name, blank):
        rows = {"t.jsonl": '{"text": "a"}\n', "t.csv": "text\na\n", "t.tsv": "text\na\n"}[name]

        def read(blank_lines):
            content = io.BytesIO((rows + blank_lines * blank).encode())
            table = open_table(
                [Table(content, name)], split="train", wanted=Wanted([]), max_bytes=2**20, budget=RowBudget(5)
            )
            with table as opened:
                return list(opened.rows)

        assert read(4) == [{"text": "a"}]
        with pytest.raises(TooLarge, match="5 rows"):
            read(5)

    @pytest.mark.parametrize("name", ["t.jsonl.gz", "t.csv.gz", "t.parquet.gz"])
    def test_gzip_bomb(self, api, name):
        bomb = gzip.compress(b"text,label\n" + b"x,a\n" * 100_000)
        code = "dataset_too_large" if name == "t.parquet.gz" else "too_many_rows"
        if name == "t.jsonl.gz":
            bomb = gzip.compress(b"\n" * 1_000_000)
        refused(api, post_train(api, name, bomb), code, status=413)

    def test_bomb_within_the_limit_of_the_server(self, tmp_path, postgres_url):
        """What it would cost bears no proportion to what was sent."""
        line = json.dumps({"text": "x" * 500_000, "label": "good"}) + "\n"
        for api in run_api(make_settings(tmp_path, database_url=postgres_url)):
            response = post_train(api, "t.jsonl.gz", gzip.compress(line.encode() * 140))
            assert "decompression limit" in refused(api, response, "dataset_too_large", status=413)

    def test_parquet_bomb_of_one_text(self, tmp_path, postgres_url):
        """Ten thousand rows of one text: a file of some kilobytes, and 10 GB to whoever writes them out."""
        texts = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["a" * 1_000_000])
        buffer = io.BytesIO()
        table = pa.table({"text": texts, "label": ["x"] * 10_000})
        pq.write_table(table, buffer, store_schema=False, dictionary_pagesize_limit=2**30)
        assert len(buffer.getvalue()) < 100_000
        settings = make_settings(tmp_path, database_url=postgres_url, max_unpacked_bytes=2**24)
        for api in run_api(settings):
            response = post_train(api, "t.parquet", buffer.getvalue())
            assert "16,777,216 bytes" in refused(api, response, "dataset_too_large", status=413)

    def test_parquet_bomb(self, api):
        rows = [{"text": "x" * 200_000, "label": "a"}]
        refused(api, post_train(api, "t.parquet", parquet_of(rows)), "dataset_too_large", status=413)


class TestListAndDelete:
    def test_pages(self, api, dataset_files):
        ids = [api.upload_dataset(dataset_files).json()["id"] for _ in range(2)]
        page = api.http.get("/v1/datasets", params={"limit": 1}).json()
        assert [entry["id"] for entry in page["data"]] == ids[1:]
        assert page["next"] == ids[1]

    def test_delete_takes_the_files_along(self, api, dataset):
        assert api.http.delete(f"/v1/datasets/{dataset}").status_code == 204
        assert api.stored() == []
        response = api.http.get(f"/v1/datasets/{dataset}")
        assert response.json()["type"] == "urn:squeeze:problem:dataset_not_found"

    def test_a_data_set_in_use_stays(self, api, dataset):
        with api.database.transaction() as session:
            job = Job(spec={}, dataset_id=dataset, method="scratch")
            session.add(job)
        response = api.http.delete(f"/v1/datasets/{dataset}")
        assert (response.status_code, response.json()["job"]) == (409, job.id)
        with api.database.transaction() as session:
            move(session, lock_job(session, job.id), JobStatus.CANCELLED)
        assert api.http.delete(f"/v1/datasets/{dataset}").status_code == 204
