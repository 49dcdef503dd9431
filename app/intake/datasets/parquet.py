"""Rows of a Parquet file of which nothing is believed: a few hundred bytes of it can stand for gigabytes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.errors import InvalidRequest
from app.intake.datasets.arrow_values import (
    BATCH_BYTES,
    BATCH_ROWS,
    class_labels,
    is_list,
    readable,
    rows_of,
    wanted_columns,
)
from app.intake.datasets.parquet_pages import pages
from app.intake.datasets.rows import LIST_ITEM_BYTES, Place, Row, too_many_bytes

_PAGE_BYTES = 1024
"""What a page counts for at least, so that few bytes cannot be endless pages."""

_MAX_GROUP_ITEMS = 2**25
"""Items of lists in a row group: all of them may be one row's, and a row is read at once."""

_SHOWN = 20


def parquet_rows(
    file: IO[bytes],
    place: Place,
    *,
    columns: Collection[str],
    others: Collection[str] = (),
    max_bytes: int,
) -> Iterator[Row]:
    """Rows as mappings; of columns that were not asked for, only some names.

    Args:
        file: seekable.
        place: is moved on.
        columns: that are looked for.
        others: that are read where they can be.
        max_bytes: that pages and values may take.

    Raises:
        InvalidRequest: the file is not Parquet, or a column is of no type that a table of texts has.
        TooLarge: the values take more than ``max_bytes``.
    """
    with readable(place, "parquet"):
        table = _Table.of(file, columns, others, place)
        # Other columns are never read; a message that seeks a column names some of them.
        unread = (name for name in table.schema.names if name not in table.wanted)
        unread_names = dict.fromkeys(islice(unread, _SHOWN))
        if not table.wanted and table.metadata.num_rows:
            place.number = 1
            yield dict(unread_names)
            return
        _require_bounded_pages(file, table, place, max_bytes)
        yield from rows_of(_batches(file, table), place, others=unread_names, max_bytes=max_bytes)


def parquet_class_labels(file: IO[bytes], place: Place) -> dict[str, list[str]]:
    """By column, the names that the file has for its integers.

    Raises:
        InvalidRequest: the file is not Parquet.
    """
    with readable(place, "parquet"):
        return class_labels(pq.read_schema(file))


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
    def of(cls, file: IO[bytes], columns: Collection[str], others: Collection[str], place: Place) -> "_Table":
        schema, metadata = pq.read_schema(file), pq.read_metadata(file)
        wanted = wanted_columns(schema, columns, others)
        for name in wanted:
            if wanted.count(name) > 1:
                raise _bad_column(place, name, "duplicated. Rename one of them")
            if name in columns and name not in others:
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
    if is_list(type_) and not pa.types.is_nested(type_.value_type):
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
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, width)))


def _bad_column(place: Place, name: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_parquet", f"{place.split}: the column {name!r} is {what}.", pointer=f"#/{place.split}"
    )
