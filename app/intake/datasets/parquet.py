"""Rows of a Parquet file of which nothing is believed: a few hundred bytes of it can stand for gigabytes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.domain.errors import InvalidRequest
from app.intake.datasets.parquet_pages import pages
from app.intake.datasets.rows import LIST_ITEM_BYTES, MAX_ROW_BYTES, Place, Row, too_many_bytes

_BATCH_ROWS = 8192
_BATCH_BYTES = 16 * 2**20
_PAGE_BYTES = 1024
"""What a page counts for at least, so that few bytes cannot be endless pages."""

_MAX_GROUP_ITEMS = 2**25
"""Items of lists in a row group: all of them may be one row's, and a row is read at once."""

_SHOWN = 20
_TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_LIST_TYPES = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def parquet_rows(file: IO[bytes], place: Place, *, columns: Collection[str], max_bytes: int) -> Iterator[Row]:
    """Rows as mappings; of columns that were not asked for, only some names.

    Raises:
        InvalidRequest: the file is not Parquet, or a column is of no type that a table of texts has.
        TooLarge: the values take more than ``max_bytes``.
    """
    try:
        table = _Table.of(file, columns, place)
        # Other columns are never read; a message that seeks a column names some of them.
        others = dict.fromkeys(islice((name for name in table.schema.names if name not in columns), _SHOWN))
        _require_bounded_pages(file, table, place, max_bytes)
        left = max_bytes
        for batch in _batches(file, table):
            sizes = [_value_bytes(column) for column in batch.columns]
            left -= sum(pc.sum(size).as_py() or 0 for size in sizes)
            if left < 0:
                raise too_many_bytes(place, max_bytes)
            step = max(1, _BATCH_BYTES // max(1, _longest(sizes, place)))
            for start in range(0, len(batch), step):
                part = batch.slice(start, step)
                for values in zip(*map(_values, part.columns), strict=True):
                    place.number += 1
                    yield others | dict(zip(table.wanted, values, strict=True))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InvalidRequest(
            "invalid_parquet",
            f"{place.split}: not a readable Parquet file ({str(error)[:200]}). Fix the file.",
            pointer=f"#/{place.split}",
        ) from None


@dataclass(frozen=True)
class _Leaf:
    """Where the values of a wanted column lie."""

    number: int
    path: str
    is_list: bool


@dataclass(frozen=True)
class _Table:
    """What the footer says."""

    schema: pa.Schema
    metadata: pq.FileMetaData
    wanted: list[str]
    leaves: list[_Leaf]

    @classmethod
    def of(cls, file: IO[bytes], columns: Collection[str], place: Place) -> "_Table":
        schema, metadata = pq.read_schema(file), pq.read_metadata(file)
        wanted = [name for name in schema.names if name in columns]
        for name in wanted:
            if wanted.count(name) > 1:
                raise _bad_column(place, name, "duplicated. Rename one of them")
            _require_readable(schema.field(name).type, name, place)
        leaves: list[_Leaf] = []
        for number in range(metadata.num_columns):
            leaf = metadata.schema.column(number)
            # The path of a list goes on below its name. Another column may be called so, and is read along.
            if any(leaf.path == name or leaf.path.startswith(f"{name}.") for name in wanted):
                leaves.append(_Leaf(number, leaf.path, is_list=leaf.max_repetition_level > 0))
        return cls(schema, metadata, wanted, leaves)


def _require_readable(type_: Any, name: str, place: Place) -> None:
    """Single values, or lists of them."""
    if _is_list(type_) and not pa.types.is_nested(type_.value_type):
        return
    if pa.types.is_struct(type_):
        raise _bad_column(
            place, name, f"of type {type_}, which is not supported. Split it into plain columns"
        )
    if pa.types.is_nested(type_):
        raise _bad_column(place, name, f"of type {type_}, which is not supported. Use text or lists of text")


def _require_bounded_pages(file: IO[bytes], table: _Table, place: Place, max_bytes: int) -> None:
    """Before any page is unpacked: what all of them come to, and the lists of one row group."""
    left = max_bytes
    for number in range(table.metadata.num_row_groups):
        group = table.metadata.row_group(number)
        items = 0
        for leaf in table.leaves:
            chunk = group.column(leaf.number)
            for page in pages(file, start=_start(chunk), values=chunk.num_values):
                items += page.values if leaf.is_list else 0
                left -= max(_PAGE_BYTES, page.unpacked_bytes)
                if left < LIST_ITEM_BYTES * items:
                    raise too_many_bytes(place, max_bytes)
        left -= LIST_ITEM_BYTES * items
        if items > _MAX_GROUP_ITEMS:
            raise InvalidRequest(
                "row_group_too_large",
                f"{place.split}: row group {number + 1:,} has {items:,} list items, more than the limit of "
                f"{_MAX_GROUP_ITEMS:,}. Write the file with smaller row groups.",
                pointer=f"#/{place.split}",
            )


def _start(chunk: Any) -> int:
    """Where the first page of a column begins: that of its dictionary, if there is one."""
    first: int = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < first:
        first = chunk.dictionary_page_offset
    return first


def _batches(file: IO[bytes], table: _Table) -> Iterator[pa.RecordBatch]:
    # As dictionaries, which hold a value that a million rows share once.
    reader = pq.ParquetFile(file, read_dictionary=[leaf.path for leaf in table.leaves])
    for number in range(table.metadata.num_row_groups):  # one at a time: a batch would go on into the next
        rows = _batch_rows(table.metadata.row_group(number), table.leaves)
        for batch in reader.iter_batches(rows, row_groups=[number], columns=table.wanted):
            yield batch.select(table.wanted)


def _batch_rows(group: pq.RowGroupMetaData, leaves: Sequence[_Leaf]) -> int:
    """So many rows that, were they all alike, they would fill a batch."""
    items = sum(group.column(leaf.number).num_values for leaf in leaves if leaf.is_list)
    width = (group.total_byte_size + LIST_ITEM_BYTES * items) // max(1, group.num_rows)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, width)))


def _longest(sizes: Sequence[Any], place: Place) -> int:
    """The longest value of a batch."""
    longest: int = max((pc.max(size).as_py() or 0 for size in sizes), default=0)
    if longest > MAX_ROW_BYTES:
        place.number += 1 + max(pc.index(size, longest).as_py() for size in sizes)
        raise place.fault(
            "line_too_long", f"the row is longer than {MAX_ROW_BYTES:,} bytes. Shorten the text."
        )
    return longest


def _value_bytes(column: Any) -> Any:
    """The length of each text or list; nothing for numbers and dates, which cannot be long."""
    if pa.types.is_dictionary(column.type):
        return _value_bytes(column.dictionary).take(column.indices)
    if any(is_of(column.type) for is_of in _TEXT_TYPES):
        return pc.binary_length(column)
    if _is_list(column.type):
        items = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        sizes = pc.fill_null(_value_bytes(column.flatten()), 0).to_numpy() + LIST_ITEM_BYTES
        ends = np.cumsum(items)
        reached = np.concatenate([[0], np.cumsum(sizes)])
        return pa.array(reached[ends] - reached[ends - items])
    return pa.nulls(len(column), pa.int64())


def _values(column: Any) -> list[Any]:
    """What ``to_pylist`` gives, several times as fast where there are lists."""
    if pa.types.is_dictionary(column.type):
        return _values(column.dictionary_decode())
    if _is_list(column.type):
        items = _values(column.flatten())
        ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy())
        starts = np.concatenate([[0], ends[:-1]]).tolist()
        parts = zip(column.is_valid().to_pylist(), starts, ends.tolist(), strict=True)
        return [items[start:end] if is_valid else None for is_valid, start, end in parts]
    values: list[Any] = column.to_pylist()
    return values


def _is_list(type_: Any) -> bool:
    return any(is_of(type_) for is_of in _LIST_TYPES)


def _bad_column(place: Place, name: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_parquet", f"{place.split}: the column {name!r} is {what}.", pointer=f"#/{place.split}"
    )
