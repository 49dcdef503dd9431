"""Rows of Arrow's record batches, of which nothing is believed: few bytes can stand for gigabytes."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.domain.errors import InvalidRequest
from app.intake.datasets.rows import LIST_ITEM_BYTES, MAX_ROW_BYTES, Place, Row, too_many_bytes

BATCH_ROWS = 8192
BATCH_BYTES = 16 * 2**20

_MAX_DEPTH = 3
_TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_LIST_TYPES = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_PLAIN_TYPES = (
    *_TEXT_TYPES,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_boolean,
    pa.types.is_temporal,
    pa.types.is_null,
)


@contextmanager
def readable(place: Place, format_: Literal["arrow", "parquet"]) -> Iterator[None]:
    """Refuse a file on which the library fails."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, SystemError) as error:
        # A SystemError is how Python reports that the library failed without saying why.
        raise InvalidRequest(
            f"invalid_{format_}",
            f"{place.split}: not a readable {format_.capitalize()} file ({str(error)[:200]}). Fix the file.",
            pointer=f"#/{place.split}",
        ) from None


def rows_of(
    batches: Iterator[pa.RecordBatch], place: Place, *, others: Mapping[str, None], max_bytes: int
) -> Iterator[Row]:
    """The rows of batches as mappings.

    Args:
        batches: of sound data.
        place: is moved on.
        others: columns that are not read.
        max_bytes: that all values may take.

    Raises:
        InvalidRequest: a row is too long.
        TooLarge: the values take more than ``max_bytes``.
    """
    left = max_bytes
    for batch in batches:
        sizes = [_value_bytes(column) for column in batch.columns]
        left -= sum(pc.sum(size).as_py() or 0 for size in sizes)
        if left < 0:
            raise too_many_bytes(place, max_bytes)
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, _longest(sizes, place))))
        for start in range(0, len(batch), step):
            part = batch.slice(start, step)
            for values in zip(*map(_values, part.columns), strict=True):
                place.number += 1
                yield {**others, **dict(zip(batch.schema.names, values, strict=True))}


def is_list(type_: Any) -> bool:
    return any(is_of(type_) for is_of in _LIST_TYPES)


def is_readable(type_: Any, depth: int = 0) -> bool:
    """Whether values of a type are single ones, or lists or structs of such."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if depth < _MAX_DEPTH and is_list(type_):
        return is_readable(type_.value_type, depth + 1)
    if depth < _MAX_DEPTH and pa.types.is_struct(type_):
        return all(is_readable(field.type, depth + 1) for field in type_)
    return any(is_of(type_) for is_of in _PLAIN_TYPES)


def class_labels(schema: pa.Schema) -> dict[str, list[str]]:
    """By column, the names that the library ``datasets`` stores beside integers."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return labels_of_features(features)
    except (LookupError, TypeError, ValueError, RecursionError):
        return {}


def labels_of_features(features: Any) -> dict[str, list[str]]:
    """The same of the description of a data set's features."""
    found = {}
    for column, feature in features.items():
        if isinstance(feature, dict) and "feature" in feature:  # a list of them
            feature = feature["feature"]  # noqa: PLW2901
        if isinstance(feature, list) and len(feature) == 1:
            [feature] = feature  # noqa: PLW2901
        names = feature.get("names") if isinstance(feature, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            found[column] = names
    return found


def wanted_columns(schema: pa.Schema, columns: Collection[str], others: Collection[str]) -> list[str]:
    """Names of the columns to read: those that are looked for, and those beside them that can be read."""
    paths = {column.partition(".")[0] for column in columns if column not in schema.names}
    return [
        field.name
        for field in schema
        if field.name in columns or (field.name in {*paths, *others} and is_readable(field.type))
    ]


def _longest(sizes: Sequence[Any], place: Place) -> int:
    """The longest value of a batch."""
    longest: int = max((pc.max(size).as_py() or 0 for size in sizes), default=0)
    if longest > MAX_ROW_BYTES:
        place.number += 1 + max(pc.index(size, longest).as_py() for size in sizes)
        raise place.fatal(
            "line_too_long", f"the row is longer than {MAX_ROW_BYTES:,} bytes. Shorten the text."
        )
    return longest


def _value_bytes(column: Any) -> Any:
    """The length of each text, list or struct; nothing for numbers and dates, which cannot be long."""
    if pa.types.is_dictionary(column.type):
        return _value_bytes(column.dictionary).take(column.indices)
    if any(is_of(column.type) for is_of in _TEXT_TYPES):
        return pc.binary_length(column)
    if is_list(column.type):
        items = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        sizes = pc.fill_null(_value_bytes(column.flatten()), 0).to_numpy() + LIST_ITEM_BYTES
        ends = np.cumsum(items)
        reached = np.concatenate([[0], np.cumsum(sizes)])
        return pa.array(reached[ends] - reached[ends - items])
    if pa.types.is_struct(column.type):
        sizes = np.full(len(column), LIST_ITEM_BYTES * column.type.num_fields)
        for field in column.flatten():
            sizes += pc.fill_null(_value_bytes(field), 0).to_numpy()
        return pa.array(sizes)
    return pa.nulls(len(column), pa.int64())


def _values(column: Any) -> list[Any]:
    """What ``to_pylist`` gives, several times as fast where there are lists."""
    if pa.types.is_dictionary(column.type):
        return _values(column.dictionary_decode())
    if is_list(column.type):
        items = _values(column.flatten())
        ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy())
        starts = np.concatenate([[0], ends[:-1]]).tolist()
        parts = zip(column.is_valid().to_pylist(), starts, ends.tolist(), strict=True)
        return [items[start:end] if is_valid else None for is_valid, start, end in parts]
    if pa.types.is_struct(column.type):
        names = [field.name for field in column.type]
        structs = zip(*map(_values, column.flatten()), strict=True)
        return [
            dict(zip(names, struct, strict=True)) if is_valid else None
            for is_valid, struct in zip(column.is_valid().to_pylist(), structs, strict=True)
        ]
    values: list[Any] = column.to_pylist()
    return values
