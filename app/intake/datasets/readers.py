"""Reading a table that somebody uploaded, row by row, in whichever format it is; each also as .gz."""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, BinaryIO, Final, TypeAlias

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.intake.datasets import conll, delimited, json_tables
from app.intake.datasets.arrow import arrow_class_labels, arrow_rows
from app.intake.datasets.content import Content, Encoding, find_encoding, read_lines, readable_lines
from app.intake.datasets.delimited import Dialect
from app.intake.datasets.given import FORMATS, Member, Table, ending_of
from app.intake.datasets.notes import Notes
from app.intake.datasets.parquet import parquet_class_labels, parquet_rows
from app.intake.datasets.rows import BadRow, LeftOutRow, Place, Row, RowBudget

_CONVERSIONS: Final = {
    ".xlsx": "Save the sheet as CSV UTF-8.",
    ".xls": "Save the sheet as CSV UTF-8.",
    ".ods": "Save the sheet as .csv.",
    ".spacy": "Write doc.to_json() of each document as a line of .jsonl.",
    ".pkl": "Nothing in an upload is executed: write the table with to_parquet().",
    ".pickle": "Nothing in an upload is executed: write the table with to_parquet().",
}
_COPY_BYTES = 2**20
_TAB_ENDINGS: Final = (".tsv", ".tab")
_ROWS_WITH_COLUMNS: Final = 100

Rows: TypeAlias = Iterator[Row | BadRow | LeftOutRow | None]


@dataclass(frozen=True)
class Wanted:
    """What is looked for in a table."""

    columns: Collection[str]
    """A format that can leaves others unread."""
    others: Collection[str] = ()
    """Columns that may be in their place."""
    text_column: str | None = None
    """The one that a line of plain text is for; None where a row has more than a text."""
    may_be_columns: bool = False
    """Whether a file may have a token and its tag in each line."""


@dataclass
class OpenTable:
    """A table that is being read."""

    place: Place
    """Where the reader stands."""
    filename: str
    format: str
    options: dict[str, str]
    """What the format leaves open, as it was understood."""
    rows: Rows
    """None for blank lines, which ``open_table`` leaves out."""
    columns: dict[str, None] = field(default_factory=dict)
    """Those of the first rows that were read."""
    class_labels: Mapping[str, list[str]] = field(default_factory=dict)
    """By column, the names that the file has for its integers."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The columns of fields that the format itself tells."""
    has_empty_cells: bool = False
    """Whether a cell without characters means that there is no value."""


def _advice(filename: str) -> str:
    return next(
        (advice for ending, advice in _CONVERSIONS.items() if filename.lower().endswith(ending)),
        "Rename or convert the file.",
    )


@contextmanager
def open_table(
    tables: Sequence[Table | Member],
    *,
    split: Split,
    wanted: Wanted,
    max_bytes: int,
    budget: RowBudget,
    notes: Notes | None = None,
) -> Iterator[OpenTable]:
    """The rows of a table as mappings of column names to values.

    Args:
        tables: its file, or several of one format that are read one after the other.
        split: for messages.
        wanted: what is looked for.
        max_bytes: that a file may have once unpacked.
        budget: of rows, which those of this table are taken from.
        notes: get what was assumed.

    Raises:
        InvalidRequest: the format is unknown or the file is not of it; also while rows are read.
        TooLarge: the file unpacks to more than allowed, or has too many rows; also while rows are read.
    """
    opening = _Opening(Place(split, "line"), wanted, notes or Notes(), max_bytes)
    first, *others = tables
    with ExitStack() as stack:
        table = opening.open(first, stack)
        if others:
            table.options["files"] = f"{len(tables):,}"
            table.rows = chain(table.rows, opening.rows(others, table))
        table.rows = _counted(table, table.rows, budget)
        yield table


def _counted(table: OpenTable, rows: Rows, budget: RowBudget) -> Iterator[Row | BadRow | LeftOutRow]:
    """Those that are not blank."""
    for number, row in enumerate(rows):
        budget.spend()
        if number < _ROWS_WITH_COLUMNS and isinstance(row, dict):
            table.columns |= dict.fromkeys(row)
        if row is not None:
            yield row


@dataclass
class _Opening:
    """Finds out what files are."""

    place: Place
    wanted: Wanted
    notes: Notes
    max_bytes: int

    def open(self, table: Table | Member, stack: ExitStack) -> OpenTable:
        """A file, open as long as the stack."""
        ending = ending_of(table.filename)
        if ending is None:
            raise InvalidRequest(
                "unknown_format",
                f"{self.place.split}: {table.filename[:100]!r} has an unsupported extension; use "
                f"{', '.join(FORMATS)} (each also .gz), or an archive of such. {_advice(table.filename)}",
                pointer=f"#/{self.place.split}",
            )
        self.place.file = table.filename if isinstance(table, Member) else ""
        file: BinaryIO = (
            stack.enter_context(table.path.open("rb")) if isinstance(table, Member) else table.file
        )
        is_gzip = table.filename.lower().endswith(".gz")
        content = Content(file, is_gzip=is_gzip, place=self.place, max_bytes=self.max_bytes)
        opened = _File(content, ending, table.filename, self.wanted, self.notes, stack).open()
        if isinstance(table, Member):
            opened.class_labels = {**opened.class_labels, **table.class_labels}
        self.place.number = 0
        return opened

    def rows(self, tables: Sequence[Table | Member], first: OpenTable) -> Rows:
        """Those of further files, each of which is like the first."""
        for table in tables:
            with ExitStack() as stack:
                opened = self.open(table, stack)
                if opened.class_labels != first.class_labels:
                    raise InvalidRequest(
                        "labels_mismatch",
                        f"{self.place.split}: {table.filename[:100]!r} names other labels for its integers "
                        f"than {first.filename[:100]!r}. Write both from one data set.",
                        pointer=f"#/{self.place.split}",
                    )
                yield from opened.rows


@dataclass
class _File:
    """Finds out what a file is."""

    content: Content
    ending: str
    filename: str
    wanted: Wanted
    notes: Notes
    stack: ExitStack

    def open(self) -> OpenTable:
        match FORMATS[self.ending]:
            case "parquet":
                return self._parquet()
            case "arrow":
                return self._arrow()
            case "json":
                return self._json()
            case "conll":
                return self._conll(self._encoding())
            case "text":
                return self._text(self._encoding())
        return self._delimited(self._encoding())

    @property
    def _columns(self) -> Collection[str]:
        """All that a header may name."""
        return {*self.wanted.columns, *self.wanted.others}

    @property
    def _place(self) -> Place:
        return self.content.place

    def _encoding(self) -> Encoding:
        encoding = find_encoding(self.content)
        if encoding.is_guess:
            self.notes.warn(
                f"{self._place.split}: the file is not UTF-8 and was read as Windows-1252. Compare the first "
                "rows, or save it as UTF-8."
            )
        return encoding

    def _table(self, format_: str, options: dict[str, str], rows: Rows, *, unit: str = "line") -> OpenTable:
        self._place.unit = unit
        return OpenTable(self._place, self.filename, format_, options, rows)

    def _json(self) -> OpenTable:
        encoding = find_encoding(self.content, is_json=True)
        options = {"encoding": encoding.name}
        layout = json_tables.find_layout(self.content, encoding, are_lines=self.ending != ".json")
        if layout == "lines":
            return self._table("jsonl", options, json_tables.json_lines(self.content, encoding))
        if layout == "list":
            items = json_tables.json_list(self.content, encoding)
            return self._table("json", options | {"form": "list of objects"}, items, unit="row")
        form, rows = json_tables.json_object(self.content, encoding, self.wanted.columns)
        return self._table("json", options | {"form": form}, rows, unit="row")

    def _delimited(self, encoding: Encoding) -> OpenTable:
        is_tabs = self.ending in _TAB_ENDINGS
        dialect, warning = delimited.find_dialect(
            self.content, encoding, default="\t" if is_tabs else ",", columns=self._columns
        )
        if (
            self.wanted.may_be_columns
            and not self._names_columns(encoding, dialect)
            and self._is_parted(encoding)
        ):
            return self._conll(encoding)
        if warning:
            self.notes.warn(warning)
        rows = delimited.delimited_rows(self.content, encoding, dialect)
        options = {"encoding": encoding.name} | dialect.options
        table = self._table("tsv" if dialect.delimiter == "\t" else "csv", options, rows)
        table.has_empty_cells = True
        return table

    def _names_columns(self, encoding: Encoding, dialect: Dialect) -> bool:
        """Whether the header has any that is looked for."""
        return bool(self._columns & delimited.read_header(self.content, encoding, dialect).keys())

    def _is_parted(self, encoding: Encoding) -> bool:
        """Whether there are blank lines between others."""
        is_blank = [False, False]
        for line in readable_lines(self.content, encoding):
            is_blank = [is_blank[1], not line.strip()]
            if is_blank == [True, False]:
                return True
        return False

    def _conll(self, encoding: Encoding) -> OpenTable:
        layout = conll.find_layout(self.content, encoding)
        if layout.other_tags:
            self.notes.warn(
                f"{self._place.split}: the tags are those of column {layout.width}, the last. Columns that "
                f"look like tags, too, are {', '.join(layout.other_tags)}: choose one with columns, such as "
                f'{{"tags": "{layout.other_tags[-1]}"}}.'
            )
        rows = conll.conll_rows(self.content, encoding, layout)
        table = self._table("conll", {"encoding": encoding.name} | layout.options, rows)
        table.fields = layout.fields
        return table

    def _text(self, encoding: Encoding) -> OpenTable:
        """A table like any other, or what has no columns: tokens and tags, or a text a line."""
        dialect, _ = delimited.find_dialect(self.content, encoding, default="\t", columns=self.wanted.columns)
        if self._names_columns(encoding, dialect):
            return self._delimited(encoding)
        column = self.wanted.text_column
        if self.wanted.may_be_columns and (column is None or self._is_parted(encoding)):
            return self._conll(encoding)
        if column is None:
            raise InvalidRequest(
                "unknown_format",
                f"{self._place.split}: {self.filename[:100]!r} has no header that names columns, and a row "
                "has more than a text. Write a header, or JSON Lines.",
                pointer=f"#/{self._place.split}",
            )
        lines = (line.strip() for line in read_lines(self.content, encoding))
        rows: Rows = ({column: line} if line else None for line in lines)
        return self._table("text", {"encoding": encoding.name}, rows)

    def _parquet(self) -> OpenTable:
        file = self._copy()
        rows = parquet_rows(
            file,
            self._place,
            columns=self.wanted.columns,
            others=self.wanted.others,
            max_bytes=self.content.max_bytes,
        )
        table = self._table("parquet", {}, rows, unit="row")
        table.class_labels = parquet_class_labels(file, self._place)
        return table

    def _arrow(self) -> OpenTable:
        file = self._copy()
        rows = arrow_rows(
            file,
            self._place,
            columns=self.wanted.columns,
            others=self.wanted.others,
            max_bytes=self.content.max_bytes,
        )
        table = self._table("arrow", {}, rows, unit="row")
        table.class_labels = arrow_class_labels(file, self._place)
        return table

    def _copy(self) -> IO[bytes]:
        """The content as a file of our own: formats are read from the end, and the upload may be packed."""
        temporary = tempfile.TemporaryFile(prefix="squeeze-intake-")  # noqa: SIM115 - the stack closes it
        file = self.stack.enter_context(temporary)
        self.content.rewind()
        while chunk := self.content.read(_COPY_BYTES):
            file.write(chunk)
        return file
