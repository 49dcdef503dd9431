"""Rows of files in columns, as of CoNLL's shared tasks: a token a line, a blank line between sentences.

Columns have no names: they are called ``1``, ``2`` and so on. The token is the first, or the second if the
first numbers the tokens; its tag is the last.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from app.intake.datasets.content import Content, Encoding, read_lines, readable_lines
from app.intake.datasets.rows import MAX_ROW_BYTES, BadRow, LeftOutRow, Place, Row

_BLANK: Final = " \t\r\n"
_GAPS: Final = re.compile(r"[ \t]+")
_BOUNDARY: Final = "-DOCSTART-"
_MAX_TAGS: Final = 5000
_TAG: Final = re.compile(r"O|[BIESLUMW][-_:].+")
_TOKEN_HEADERS: Final = frozenset(("token", "tokens", "word", "words"))
_TAG_HEADERS: Final = frozenset(("tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags"))

Delimiter = Literal["tab", "comma", "space"]


@dataclass(frozen=True)
class Layout:
    """How the columns of a file are told apart, and what they hold."""

    delimiter: Delimiter
    width: int
    token: str
    """The column with tokens."""
    tags: frozenset[str]
    """What the last column holds, but for lines that may be comments."""
    other_tags: tuple[str, ...] = ()
    """Columns that look like tags, too."""

    @property
    def fields(self) -> dict[str, str]:
        """The column of each field; there may be only tokens."""
        has_tags = int(self.token) < self.width
        return {"tokens": self.token} | ({"tags": str(self.width)} if has_tags else {})

    @property
    def options(self) -> dict[str, str]:
        return {"delimiter": self.delimiter, "columns": str(self.width)}

    def cells(self, line: str) -> list[str]:
        return _cells(line, self.delimiter)

    def is_header(self, cells: list[str]) -> bool:
        """Whether a line names columns."""
        return len(cells) > 1 and cells[0].lower() in _TOKEN_HEADERS and cells[-1].lower() in _TAG_HEADERS


def _cells(line: str, delimiter: Delimiter) -> list[str]:
    match delimiter:
        case "tab":
            return [cell.strip(_BLANK) for cell in line.strip("\r\n").split("\t")]
        case "space":
            return _GAPS.split(line.strip(_BLANK))
    try:
        return [cell.strip(_BLANK) for cell in next(csv.reader([line]), [])]
    except csv.Error:
        return [line.strip(_BLANK)]


@dataclass
class _Survey:
    """What all lines of a file have in common, with one delimiter."""

    delimiter: Delimiter
    lines: int = 0
    single: int = 0
    """Lines without the delimiter."""
    widths: Counter[int] = field(default_factory=Counter)
    numbered: int = 0
    last: set[str] = field(default_factory=set)
    are_tags: list[bool] = field(default_factory=list)
    """Of each column, whether all that is in it looks like a tag."""

    def add(self, line: str) -> None:
        cells = _cells(line, self.delimiter)
        self.lines += 1
        self.single += len(cells) == 1
        self.widths[len(cells)] += 1
        self.numbered += cells[0].isdecimal()
        if len(self.last) < _MAX_TAGS:
            self.last.add(cells[-1])
        if not self.are_tags:
            self.are_tags = [True] * len(cells)
        self.are_tags = [
            are and _TAG.fullmatch(cell) is not None for are, cell in zip(self.are_tags, cells, strict=False)
        ]

    @property
    def layout(self) -> Layout:
        width = max(self.widths, key=lambda n: (self.widths[n], -n), default=1)
        is_numbered = width > 2 and self.numbered == self.lines
        others = tuple(str(number) for number, are in enumerate(self.are_tags[: width - 1], 1) if are)
        token = "2" if is_numbered else "1"
        return Layout(self.delimiter, width, token, frozenset(self.last), others)


def find_layout(content: Content, encoding: Encoding) -> Layout:
    """How a file is laid out, told from all of its lines."""
    tabs, commas, spaces = (_Survey(delimiter) for delimiter in get_args(Delimiter))
    for line in readable_lines(content, encoding):
        if line.strip(_BLANK) and not line.startswith(("#", _BOUNDARY)):
            for survey in (tabs, commas, spaces):
                survey.add(line)
    if tabs.lines and not tabs.single:
        return tabs.layout
    return commas.layout if commas.lines == spaces.single and not commas.single else spaces.layout


def conll_rows(
    content: Content, encoding: Encoding, layout: Layout
) -> Iterator[Row | BadRow | LeftOutRow | None]:
    """Sentences; ``place`` is their first line. None for blank lines beside others."""
    place = content.place
    sentence = _Sentence(layout, place)
    last = 0
    for line in read_lines(content, encoding):
        last, is_blank = place.number, not line.strip(_BLANK)
        if not is_blank and sentence.takes(line):
            sentence.add(line)
            continue
        if is_blank and sentence.is_empty:
            yield None
        elif is_blank:
            yield from sentence.end()
            place.number = last
    if not sentence.is_empty:
        yield from sentence.end()
        place.number = last


class _Sentence:
    """Lines up to a blank one."""

    def __init__(self, layout: Layout, place: Place) -> None:
        self._layout = layout
        self._place = place
        self._is_begun = False
        self._start()

    def _start(self) -> None:
        self._first = 0
        self._characters = 0
        self._columns: list[list[str]] = [[] for _ in range(self._layout.width)]
        self._is_boundary = False
        self._fault: BadRow | None = None

    @property
    def is_empty(self) -> bool:
        return self._first == 0

    def takes(self, line: str) -> bool:
        """Whether a line is none of the comments before a sentence."""
        if not line.startswith("#") or not self.is_empty:
            return True
        cells = self._layout.cells(line)
        return len(cells) == self._layout.width and cells[-1] in self._layout.tags

    def add(self, line: str) -> None:
        place, layout = self._place, self._layout
        self._first = self._first or place.number
        self._characters += len(line)
        if self._characters > MAX_ROW_BYTES:
            raise place.fatal(
                "line_too_long",
                f"the sentence from line {self._first:,} on is longer than {MAX_ROW_BYTES:,} characters. "
                "Put a blank line between sentences.",
            )
        cells = layout.cells(line)
        is_begun, self._is_begun = self._is_begun, True
        if place.number == self._first and layout.is_header(cells) and not is_begun:
            self._first = 0
        elif len(cells) == layout.width:
            for column, cell in zip(self._columns, cells, strict=True):
                column.append(cell)
        elif cells[0] == _BOUNDARY:
            self._is_boundary = True
        elif self._fault is None:
            self._fault = place.fault(
                "ragged_row",
                f"{len(cells)} columns where most lines have {layout.width}. Write a token and its tag in "
                "each line.",
                cells=len(cells),
                expected=layout.width,
            )

    def end(self) -> Iterator[Row | BadRow | LeftOutRow]:
        self._place.number = self._first
        columns, fault = self._columns, self._fault
        is_boundary = columns[0] == [_BOUNDARY] or (self._is_boundary and not columns[0])
        self._start()
        if fault is not None:
            yield fault
        elif is_boundary:
            yield LeftOutRow(f"{_BOUNDARY} separates documents")
        else:
            yield {str(number): column for number, column in enumerate(columns, 1)}
