"""Parquet tables: columns of lists, and files that say less than they hold."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.errors import InvalidRequest, TooLarge
from app.intake.datasets.given import Table
from app.intake.datasets.parquet import parquet_rows
from app.intake.datasets.parquet_pages import pages
from app.intake.datasets.readers import Wanted, open_table
from app.intake.datasets.rows import Place, RowBudget

MiB = 2**20
TEXTS = pa.list_(pa.string())


def written(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def read(content: bytes, *columns: str, max_bytes: int = 64 * MiB) -> list[dict[str, Any]]:
    with open_table(
        [Table(io.BytesIO(content), "t.parquet")],
        split="train",
        wanted=Wanted(columns),
        max_bytes=max_bytes,
        budget=RowBudget(10**9),
    ) as table:
        return list(table.rows)


def one_row_of(items: int) -> pa.Table:
    """A list of one text, over and over."""
    texts = pa.array(["x"]).take(pa.nulls(items, pa.int32()).fill_null(0))
    return pa.table({"tokens": pa.ListArray.from_arrays(pa.array([0, items], pa.int32()), texts)})


def varint(value: int, *, length: int) -> bytes:
    """A number in zigzag, in more bytes than it needs."""
    value <<= 1
    return bytes([(value >> 7 * i & 127) | (128 if i < length - 1 else 0) for i in range(length)])


class TestLists:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"data_page_version": "2.0"},
            {"compression": "zstd", "use_dictionary": False},
            {"row_group_size": 7},
            {"data_page_size": 64, "write_page_checksum": True},
            {"write_page_index": True, "store_schema": False},
        ],
    )
    @pytest.mark.parametrize("type_", [TEXTS, pa.large_list(pa.large_string())])
    def test_however_written(self, options, type_):
        rows = [{"tokens": [f"t{i}"] * (i % 5), "tags": list(range(i % 5)), "id": None} for i in range(100)]
        rows[3]["tokens"] = None
        schema = pa.schema([("id", pa.int8()), ("tokens", type_), ("tags", pa.list_(pa.int64()))])
        content = written(pa.Table.from_pylist(rows, schema=schema), **options)
        assert read(content, "tokens", "tags") == rows

    def test_of_a_fixed_length(self):
        rows = [{"l": [1, 2]}, {"l": None}, {"l": [3, None]}]
        schema = pa.schema([("l", pa.list_(pa.int8(), 2))])
        assert read(written(pa.Table.from_pylist(rows, schema=schema)), "l") == rows

    def test_columns_that_are_called_like_the_parts_of_others(self):
        table = pa.table({"text.list": [["x"] * 3], "text": ["a"], "text.en": ["b"]})
        assert [row["text"] for row in read(written(table), "text")] == ["a"]


class TestBombs:
    def test_a_long_list(self):
        content = written(one_row_of(100_000))
        with pytest.raises(InvalidRequest, match="row 1: the row is longer"):
            read(content, "tokens")

    def test_a_list_of_millions_in_some_hundred_bytes(self):
        content = written(one_row_of(5_000_000))
        assert len(content) < 1000
        self.refuse_before_unpacking(content)

    def test_a_footer_that_lies(self):
        """It says that the list has five items; the one page has five million, as its header says."""
        items = 5_000_000
        content = bytearray(written(one_row_of(items), compression="none"))
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        honest = varint(items, length=4)
        lies = content[footer:].replace(honest, varint(5, length=4))
        assert lies != content[footer:]
        content[footer:] = lies
        assert pq.read_metadata(io.BytesIO(content)).row_group(0).column(0).num_values == 5
        self.refuse_before_unpacking(bytes(content))

    def test_a_large_page(self):
        self.refuse_before_unpacking(written(pa.table({"tokens": ["a" * 80 * MiB]}), compression="zstd"))

    def test_a_row_group_of_too_many_items(self):
        content = written(pa.concat_tables([one_row_of(2**24 + 1)] * 2))
        rows = parquet_rows(io.BytesIO(content), Place("train", "row"), columns=["tokens"], max_bytes=2**40)
        with pytest.raises(InvalidRequest, match="smaller row groups"):
            next(rows)

    @staticmethod
    def refuse_before_unpacking(content: bytes) -> None:
        pool = pa.default_memory_pool()
        watched = pa.proxy_memory_pool(pool)
        pa.set_memory_pool(watched)
        try:
            with pytest.raises(TooLarge, match="decompression limit"):
                read(content, "tokens")
        finally:
            pa.set_memory_pool(pool)
        assert watched.max_memory() < MiB


class TestPages:
    def test_all_of_a_column(self, tmp_path: Path):
        table = pa.table({"text": [f"text {i}" for i in range(1000)]})
        for options in ({}, {"data_page_version": "2.0"}, {"use_dictionary": False}):
            path = tmp_path / "t.parquet"
            pq.write_table(
                table, path, data_page_size=256, write_batch_size=16, compression="none", **options
            )
            chunk = pq.read_metadata(path).row_group(0).column(0)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            with path.open("rb") as file:
                found = list(pages(file, start=start, values=1000))
                assert file.tell() <= start + chunk.total_compressed_size
            assert len(found) > 10
            assert sum(page.values for page in found) == 1000
            headers = chunk.total_uncompressed_size - sum(page.unpacked_bytes for page in found)
            assert 0 < headers < 100 * len(found)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x15",
            b"\x15\x00\x00",
            b"\x1f",
            b"\x15" + b"\xff" * 20,
            b"\x15\x00\x15\x01\x15\x00\x00",
            b"\x1c" * 100,
            b"\x15\x00\x05\x02\x00\x00",
        ],
        ids=["empty", "cut", "no sizes", "type", "varint", "negative", "deep", "twice"],
    )
    def test_what_is_no_page(self, content):
        with pytest.raises(ValueError, match="page"):
            list(pages(io.BytesIO(content), start=0, values=1))


def test_a_page_header_that_is_long_to_read():
    """A file may have any number of row groups that begin at the same one."""
    items = 2**20
    header = (
        b"\x19\xf1"
        + bytes([items >> shift & 127 | 128 for shift in (0, 7)] + [items >> 14])
        + bytes(items + 1)
    )
    with pytest.raises(ValueError, match="too long"):
        list(pages(io.BytesIO(header), start=0, values=1))
