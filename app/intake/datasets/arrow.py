"""Rows of Arrow's files, as ``datasets.save_to_disk`` writes them: of streams, and of files with a footer."""

from collections.abc import Collection, Iterator
from typing import IO, Any, Final

import pyarrow as pa

from app.domain.errors import InvalidRequest
from app.intake.datasets.arrow_values import class_labels, is_readable, readable, rows_of, wanted_columns
from app.intake.datasets.rows import Place, Row

_FOOTER_MAGIC: Final = b"ARROW1"
_SHOWN: Final = 20


def arrow_rows(
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
        max_bytes: that the values may take.

    Raises:
        InvalidRequest: the file is not Arrow's, or a column is of no type that a table of texts has.
        TooLarge: the values take more than ``max_bytes``.
    """
    with readable(place, "arrow"):
        schema = _reader(file).schema
        wanted = wanted_columns(schema, columns, others)
        for name in wanted:
            if wanted.count(name) > 1 or not is_readable(schema.field(name).type):
                raise InvalidRequest(
                    "invalid_arrow",
                    f"{place.split}: the column {name!r} is there twice, or of a type that is not supported. "
                    "Use text, numbers, or lists of them.",
                    pointer=f"#/{place.split}",
                )
        unread = dict.fromkeys([name for name in schema.names if name not in wanted][:_SHOWN])
        fields = [number for number, name in enumerate(schema.names) if name in wanted]
        batches = _batches(file, fields or [0])
        if wanted:
            yield from rows_of(batches, place, others=unread, max_bytes=max_bytes)
        elif any(len(batch) for batch in batches):
            place.number = 1
            yield dict(unread)


def arrow_class_labels(file: IO[bytes], place: Place) -> dict[str, list[str]]:
    """By column, the names that the file has for its integers.

    Raises:
        InvalidRequest: the file is not Arrow's.
    """
    with readable(place, "arrow"):
        return class_labels(_reader(file).schema)


def _reader(file: IO[bytes], options: Any = None) -> Any:
    file.seek(0)
    has_footer = file.read(len(_FOOTER_MAGIC)) == _FOOTER_MAGIC
    file.seek(0)
    opened: Any = pa.ipc.open_file if has_footer else pa.ipc.open_stream
    return opened(file, options=options)


def _batches(file: IO[bytes], fields: list[int]) -> Iterator[pa.RecordBatch]:
    """With these columns. Their offsets and indices are checked before anything follows them."""
    reader = _reader(file, pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False))
    batches = (
        (reader.get_batch(number) for number in range(reader.num_record_batches))
        if hasattr(reader, "get_batch")
        else reader
    )
    for batch in batches:
        batch.validate(full=True)
        yield batch
