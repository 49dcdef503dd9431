"""Reading a table that somebody uploaded, row by row: .jsonl, .csv, .tsv or .parquet, each also .gz."""

import csv
import gzip
import io
import json
import tempfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.intake.datasets.parquet import parquet_rows
from app.intake.datasets.rows import MAX_ROW_BYTES, Place, Row, RowBudget, too_many_bytes

FORMATS = (".jsonl", ".csv", ".tsv", ".parquet")

_MAX_RATIO = 200
"""Unpacked over packed bytes: tables shrink tenfold, bombs a thousandfold."""

_RATIO_FLOOR_BYTES = 64 * 2**20
_COPY_BYTES = 2**20

csv.field_size_limit(MAX_ROW_BYTES)  # of the process; its default is an eighth of what a row may be


@contextmanager
def open_table(
    file: BinaryIO,
    *,
    filename: str,
    split: Split,
    columns: Collection[str],
    max_bytes: int,
    budget: RowBudget,
) -> Iterator[tuple[Place, Iterator[Row]]]:
    """The rows of a table as mappings of column names to values, and where their reader stands.

    Args:
        file: seekable.
        filename: its ending tells the format.
        split: for messages.
        columns: what is looked for; a format that can leaves the others unread.
        max_bytes: that the file may have once unpacked.
        budget: of rows, which those of this table are taken from.

    Raises:
        InvalidRequest: the format is unknown or the file is not of it; also while rows are read.
        TooLarge: the file unpacks to more than allowed, or has too many rows; also while rows are read.
    """
    name = filename.lower()
    stem = name.removesuffix(".gz")
    format_ = next((suffix for suffix in FORMATS if stem.endswith(suffix)), None)
    if format_ is None:
        raise InvalidRequest(
            "unknown_format",
            f"{split}: {filename[:100]!r} has an unsupported extension; use {', '.join(FORMATS)} (each also "
            ".gz). Rename or convert the file.",
            pointer=f"#/{split}",
        )
    packed = file.seek(0, io.SEEK_END)
    file.seek(0)
    max_bytes = min(max_bytes, max(_RATIO_FLOOR_BYTES, packed * _MAX_RATIO))
    place = Place(split, unit="row" if format_ == ".parquet" else "line")
    with _unpacked(file, is_gzip=name != stem) as content:
        bounded = _Bounded(content, place, max_bytes)
        rows: Iterator[Row | None]
        if format_ == ".jsonl":
            rows = _json_rows(bounded, place)
        elif format_ == ".parquet":
            rows = _parquet_rows(bounded, place, columns, max_bytes)
        else:
            rows = _delimited_rows(bounded, place, is_tabs=format_ == ".tsv")
        yield place, _counted(rows, budget)


def _counted(rows: Iterator[Row | None], budget: RowBudget) -> Iterator[Row]:
    """Those that are not blank."""
    for row in rows:
        budget.spend()
        if row is not None:
            yield row


@contextmanager
def _unpacked(file: BinaryIO, *, is_gzip: bool) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if not is_gzip:
        yield file
        return
    with gzip.GzipFile(fileobj=file, mode="rb") as content:
        yield content


class _Bounded:
    """Reads a file that may be a gzip bomb, or no gzip at all."""

    def __init__(self, content: IO[bytes] | gzip.GzipFile, place: Place, max_bytes: int) -> None:
        self._content = content
        self._place = place
        self._max_bytes = max_bytes
        self._bytes = 0

    def read(self, size: int) -> bytes:
        return self._count(self._guarded(self._content.read, size))

    def readline(self) -> bytes:
        """A line, or the beginning of one that is longer than a row may be."""
        return self._count(self._guarded(self._content.readline, MAX_ROW_BYTES + 1))

    def _guarded(self, read: Any, size: int) -> bytes:
        try:
            content: bytes = read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidRequest(
                "invalid_gzip",
                f"{self._place.split}: the file cannot be decompressed ({error}). Compress it again with "
                "gzip.",
                pointer=f"#/{self._place.split}",
            ) from None
        return content

    def _count(self, content: bytes) -> bytes:
        self._bytes += len(content)
        if self._bytes > self._max_bytes:
            raise too_many_bytes(self._place, self._max_bytes)
        return content


def _lines(content: _Bounded, place: Place) -> Iterator[str]:
    """Lines of UTF-8, with or without a byte order mark; ``place`` is the last one read."""
    while line := content.readline():
        place.number += 1
        if len(line) > MAX_ROW_BYTES:
            raise place.fault(
                "line_too_long",
                f"the line is longer than {MAX_ROW_BYTES:,} bytes. Shorten the text or fix a missing "
                "newline.",
            )
        if place.number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise place.fault(
                "invalid_utf8",
                f"byte {error.start + 1} is not UTF-8 (0x{line[error.start]:02x}). Save the file as UTF-8.",
                byte=error.start + 1,
            ) from None


def _json_rows(content: _Bounded, place: Place) -> Iterator[Row | None]:
    """None for a blank line."""
    for line in _lines(content, place):
        if not line.strip():
            yield None
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise place.fault(
                "invalid_json", f"not valid JSON ({error}). Write one object per line."
            ) from None
        if not isinstance(row, dict):
            raise place.fault("invalid_json", "not a JSON object. Write one object per line.")
        yield row


class _Cells:
    """The lines of a delimited file. Quoted cells hold newlines, so that a row may be many lines."""

    def __init__(self, content: _Bounded, place: Place) -> None:
        self._lines = _lines(content, place)
        self._place = place
        self._characters = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._characters += len(line)
            if self._characters > MAX_ROW_BYTES:
                raise self._place.fault(
                    "line_too_long",
                    f"the row is longer than {MAX_ROW_BYTES:,} characters. Shorten the text or fix an "
                    "unclosed quote.",
                )
            yield line

    def end_row(self) -> None:
        self._characters = 0


def _delimited_rows(content: _Bounded, place: Place, *, is_tabs: bool) -> Iterator[Row | None]:
    """None for a blank line."""
    lines = _Cells(content, place)
    # Tab-separated text, as GLUE's, means a quote by a quote; comma-separated text quotes with it.
    reader = (
        csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        if is_tabs
        else csv.reader(lines, strict=True)
    )
    header: list[str] | None = None
    try:
        for cells in reader:
            lines.end_row()
            if not cells:
                yield None
                continue
            if header is None:
                header = [name.strip() for name in cells]
                if len(set(header)) != len(header):
                    raise place.fault("invalid_header", "two columns have the same name. Rename one of them.")
                continue
            if len(cells) != len(header):
                raise place.fault(
                    "ragged_row",
                    f"{len(cells)} cells where the header has {len(header)}. "
                    + ("Remove tabs inside texts." if is_tabs else "Quote cells that contain a comma."),
                    cells=len(cells),
                    expected=len(header),
                )
            yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise place.fault(
            "invalid_csv", f"invalid CSV ({error}). Write the file with a CSV library."
        ) from None


def _parquet_rows(content: _Bounded, place: Place, columns: Collection[str], max_bytes: int) -> Iterator[Row]:
    """Through a file of our own: Parquet is read from its end, and the upload may be packed."""
    with tempfile.TemporaryFile(prefix="squeeze-intake-") as file:
        while chunk := content.read(_COPY_BYTES):
            file.write(chunk)
        yield from parquet_rows(file, place, columns=columns, max_bytes=max_bytes)
