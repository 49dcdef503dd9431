"""Rows of delimited text, whichever delimiter and quotes its makers use.

What a table leaves open is told from all of it: the delimiter from the header, which has to name the columns
that are looked for; quotes from whether every row then has as many cells as the header.
"""

import csv
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.domain.errors import InvalidRequest, TooLarge
from app.intake.datasets.cells import listed
from app.intake.datasets.content import Content, Encoding, read_lines, readable_lines
from app.intake.datasets.rows import MAX_ROW_BYTES, BadRow, Place, Row

csv.field_size_limit(MAX_ROW_BYTES)  # of the process; its default is an eighth of what a row may be

_DELIMITERS: Final = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
_NAMED_BY_EXCEL: Final = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_SPACED_QUOTE: Final = re.compile(r'\s+".*"\s*', re.DOTALL)
_ESCAPED_QUOTE: Final = re.compile(r'\\"')
_ESCAPED: Final = re.compile(r'\\(["\\])')
_QUOTE, _BACKSLASH = "\ufdd0", "\ufdd1"
"""Stand for those that are escaped: characters that Unicode sets aside for use within programs."""

_LONE_BACKSLASH: Final = re.compile(r'(?<!\\)(?:\\\\)*\\[^"\\]')


@dataclass(frozen=True)
class Dialect:
    """How rows and cells are told apart."""

    delimiter: str
    quotes: bool = True
    """Whether quotes enclose cells; else they mean themselves."""
    escapes: bool = False
    """Whether a backslash stands before a quote within a cell; else the quote is doubled."""
    escapes_itself: bool = False
    """Whether a backslash stands before each other backslash, too."""
    skips_spaces: bool = False
    """Whether spaces after a delimiter are none of the cell."""
    skips_line: bool = False
    """Whether the first line tells Excel the delimiter."""

    @property
    def options(self) -> dict[str, str]:
        """In words."""
        quotes = "none" if not self.quotes else "backslash" if self.escapes else "doubled"
        spaces = {"spaces after the delimiter": "skipped"} if self.skips_spaces else {}
        return {"delimiter": _DELIMITERS[self.delimiter], "quotes": quotes, **spaces}

    def reader(self, lines: Iterator[str]) -> Any:
        if not self.quotes:
            return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
        return csv.reader(
            map(self.masked, lines) if self.escapes else lines,
            delimiter=self.delimiter,
            skipinitialspace=self.skips_spaces,
            strict=True,
        )

    def masked(self, line: str) -> str:
        """With other signs for what is escaped; backslashes that escape nothing stay: paths have them."""
        if not self.escapes_itself:
            return _ESCAPED_QUOTE.sub(_QUOTE, line)
        return _ESCAPED.sub(lambda found: _QUOTE if found[1] == '"' else _BACKSLASH, line)

    def unmasked(self, cells: list[str]) -> list[str]:
        """Cells as they are meant."""
        if not self.escapes:
            return cells
        return [cell.replace(_QUOTE, '"').replace(_BACKSLASH, "\\") for cell in cells]


@dataclass
class _Trial:
    """What comes of a dialect over the whole file."""

    dialect: Dialect
    faults: int = 0
    """Rows that cannot be read, or have more or fewer cells than the header."""
    spaced: int = 0
    """Cells that have spaces before their quotes."""


def find_dialect(
    content: Content, encoding: Encoding, *, default: str, columns: Collection[str]
) -> tuple[Dialect, str]:
    """How the cells of a file are told apart, and a warning where that is not certain.

    Args:
        content: any text.
        encoding: of it.
        default: the delimiter that its name promises.
        columns: that are looked for.
    """
    lines = (line.strip("\r\n") for line in readable_lines(content, encoding))
    header = next((line for line in lines if line), "")
    excel = _NAMED_BY_EXCEL.fullmatch(header)
    if excel and excel[1] in _DELIMITERS:
        dialect = Dialect(excel[1], skips_line=True)
    else:
        dialect = Dialect(_delimiter(header, default, columns))
    if not encoding.has_quotes:
        return (replace(dialect, quotes=False) if dialect.delimiter == "\t" else dialect), ""
    if dialect.delimiter == "\t":
        return _tab_dialect(content, encoding, dialect)
    return _best(content, encoding, dialect), ""


def delimited_rows(content: Content, encoding: Encoding, dialect: Dialect) -> Iterator[Row | BadRow | None]:
    """None for a blank line."""
    place = content.place
    header: list[str] | None = None
    for cells in _parsed(content, encoding, dialect):
        if isinstance(cells, BadRow):
            yield cells
        elif not cells:
            yield None
        elif header is None:
            header = _header(dialect.unmasked(cells), place)
        elif len(cells) != len(header):
            yield place.fault(
                "ragged_row",
                f"{len(cells)} cells where the header has {len(header)}. {_advice(dialect)}",
                cells=len(cells),
                expected=len(header),
            )
        else:
            yield dict(zip(header, dialect.unmasked(cells), strict=True))


def read_header(content: Content, encoding: Encoding, dialect: Dialect) -> Row:
    """The first row; a mapping for its keys, which are empty where the first row cannot be read."""
    with suppress(InvalidRequest, TooLarge):
        for cells in _parsed(content, encoding, dialect):
            if cells and not isinstance(cells, BadRow):
                return dict.fromkeys(cell.strip() for cell in dialect.unmasked(cells))
    return {}


def _advice(dialect: Dialect) -> str:
    if dialect.delimiter == "\t":
        return "Remove tabs inside texts." if not dialect.quotes else "Quote cells that contain a tab."
    return f"Quote cells that contain a {_DELIMITERS[dialect.delimiter]}."


def _header(cells: list[str], place: Place) -> list[str]:
    header = [name.strip() for name in cells]
    named = [name for name in header if name]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise place.fatal(
            "invalid_header", f"two columns have the same name: {listed(twice)}. Rename one of them."
        )
    return header


@dataclass
class _Cells:
    """The lines of a delimited file. Quoted cells hold newlines, so that a row may be many lines."""

    lines: Iterator[str]
    place: Place
    characters: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.characters += len(line)
            if self.characters > MAX_ROW_BYTES:
                raise self.place.fatal(
                    "line_too_long",
                    f"the row is longer than {MAX_ROW_BYTES:,} characters. Shorten the text or fix an "
                    "unclosed quote.",
                )
            yield line

    def end_row(self) -> None:
        self.characters = 0


def _parsed(content: Content, encoding: Encoding, dialect: Dialect) -> Iterator[list[str] | BadRow]:
    """The cells of each row from the header on, as the dialect's reader gives them; none for a blank line."""
    lines = _Cells(read_lines(content, encoding), content.place)
    physical = iter(lines)
    if dialect.skips_line:
        next(line for line in physical if line.strip())
    reader = dialect.reader(physical)
    while True:
        try:
            cells: list[str] = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.end_row()
            yield content.place.fault(
                "invalid_csv", f"invalid CSV ({error}). Write the file with a CSV library."
            )
            continue
        lines.end_row()
        yield cells


def _delimiter(header: str, default: str, columns: Collection[str]) -> str:
    """The one by which the header has most of the columns; then by which it has most cells."""

    def merit(delimiter: str) -> tuple[int, bool, int]:
        dialect = Dialect(delimiter, skips_spaces=True)
        try:
            cells = [cell.strip() for cell in next(dialect.reader(iter([header])), [])]
        except csv.Error:
            cells = header.split(delimiter)
        return len(set(cells).intersection(columns)), delimiter == default and len(cells) > 1, len(cells)

    return max([default, *_DELIMITERS], key=merit)


def _best(content: Content, encoding: Encoding, dialect: Dialect) -> Dialect:
    """The dialect of fewest faults; the usual one unless another has fewer."""
    usual = _try(content, encoding, dialect)
    escaping = _escaping(content, encoding, dialect) if encoding.has_backslashes else None
    is_usual = not usual.faults and not usual.spaced
    if is_usual:  # but no program leaves quotes within cells that are not doubled
        return dialect if escaping is None or _try(content, encoding, escaping).faults else escaping
    others = [one for one in (dialect, escaping) if one is not None]
    others += [replace(one, skips_spaces=True) for one in others]
    trials = [usual, *(_try(content, encoding, other) for other in others[1:])]
    return min(trials, key=lambda trial: (trial.faults, trial.spaced)).dialect


def _escaping(content: Content, encoding: Encoding, dialect: Dialect) -> Dialect | None:
    """The dialect with backslashes before quotes; None where there are none, or quotes that are doubled."""
    around = re.escape(dialect.delimiter) + '"\\r\\n'
    doubled = re.compile(f'(?<=[^{around}])""|""(?=[^{around}])|"""')
    alone, in_pairs = replace(dialect, escapes=True), replace(dialect, escapes=True, escapes_itself=True)
    are_doubled = dict.fromkeys((alone, in_pairs), False)
    has_escaped, has_lone = False, False
    for line in readable_lines(content, encoding):
        has_lone |= _LONE_BACKSLASH.search(line) is not None
        has_escaped |= _ESCAPED_QUOTE.search(line) is not None
        for tried in are_doubled:
            are_doubled[tried] |= doubled.search(tried.masked(line)) is not None
    found = alone if has_lone else in_pairs
    return found if has_escaped and not are_doubled[found] else None


@dataclass
class _Quotes:
    """How quotes occur in cells that tabs alone tell apart."""

    rows: int = 0
    leading: int = 0
    """Cells that begin with one."""
    enclosed: int = 0
    """Cells that begin and end with one."""
    doubled: int = 0
    """Enclosed cells that have others within, all of them doubled."""
    with_comma: int = 0
    """Enclosed cells with a comma, for which Excel encloses them."""
    lone: int = 0
    """Cells that have one and do not begin with it: whoever encloses cells encloses these."""
    open_commas: int = 0
    """Cells with a comma that are not enclosed."""
    enclosed_columns: set[int] = field(default_factory=set)
    open_columns: set[int] = field(default_factory=set)

    def add(self, cells: list[str]) -> None:
        self.rows += 1
        for column, cell in enumerate(cells):
            inner = cell[1:-1]
            if len(cell) > 1 and cell[0] == cell[-1] == '"':
                self.enclosed += 1
                self.doubled += '"' in inner
                self.with_comma += "," in inner
                self.enclosed_columns.add(column)
            elif cell:
                self.open_columns.add(column)
                self.open_commas += "," in cell
                self.lone += '"' in cell[1:] and cell[0] != '"'
            self.leading += cell[:1] == '"'

    @property
    def may_enclose(self) -> bool:
        """Whether a program that encloses cells may have written them."""
        return not self.lone and self.leading == self.enclosed

    @property
    def are_likely_to(self) -> bool:
        """Whether they enclose cells without need: all of a column, or those with commas, as Excel does."""
        by_column = self.rows > 1 and bool(self.enclosed_columns - self.open_columns)
        return by_column or (self.with_comma == self.enclosed and not self.open_commas)


def _tab_dialect(content: Content, encoding: Encoding, dialect: Dialect) -> tuple[Dialect, str]:
    """Whether quotes enclose cells, as pandas and Excel write them, or mean themselves, as in GLUE."""
    plain = replace(dialect, quotes=False)
    faults = {tried: _try(content, encoding, tried).faults for tried in (plain, dialect)}
    if faults[plain] != faults[dialect]:
        return min(faults, key=lambda tried: faults[tried]), ""
    quotes = _Quotes()
    with suppress(InvalidRequest, TooLarge):
        rows = (cells for cells in _parsed(content, encoding, plain) if cells)
        header = next(rows, [])
        if not isinstance(header, BadRow) and any(name[:1] == '"' for name in header):
            return dialect, ""  # no column is called so
        for cells in rows:
            if not isinstance(cells, BadRow):
                quotes.add(cells)
    if not quotes.leading:
        return plain, ""
    split = content.place.split
    if quotes.may_enclose and quotes.doubled:
        return dialect, ""
    if quotes.may_enclose and quotes.are_likely_to:
        return dialect, (
            f"{split}: {quotes.enclosed:,} cells are enclosed in quotes, which were taken for marks of the "
            "cells, not for parts of the texts."
        )
    return plain, (
        f"{split}: {quotes.leading:,} cells begin with a quote, which was taken for a part of the text. If "
        "it encloses the cell, write the table as .csv."
    )


def _try(content: Content, encoding: Encoding, dialect: Dialect) -> _Trial:
    trial = _Trial(dialect)
    width = None
    try:
        for cells in _parsed(content, encoding, dialect):
            if isinstance(cells, BadRow):
                trial.faults += 1
            elif cells:
                width = width or len(cells)
                trial.faults += len(cells) != width
                trial.spaced += sum(map(_is_spaced, cells))
    except (InvalidRequest, TooLarge):
        trial.faults += 1
    return trial


def _is_spaced(cell: str) -> bool:
    return cell[:1].isspace() and _SPACED_QUOTE.fullmatch(cell) is not None
