"""Rows of files in columns, as of CoNLL's shared tasks: a token a line, a blank line between sentences.

Columns have no names: they are called ``1``, ``2`` and so on. The token is the first, or the second if the
first numbers the tokens; its tag is the last.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from app.intake.datasets.content import Content, Encoding, read_lines, readable_lines
from app.intake.datasets.rows import MAX_ROW_BYTES, BadRow, LeftOutRow, Place, Row

_BLANK: Final = " \t\r\n"
_GAPS: Final = re.compile(r"[ \t]+")
_BOUNDARY: Final = "-DOCSTART-"
_MAX_TAGS: Final = 5000


@dataclass(frozen=True)
class Layout:
    """How the columns of a file are told apart, and what they hold."""

    is_tabs: bool
    width: int
    token: str
    """The column with tokens."""
    tags: frozenset[str]
    """What the last column holds, but for lines that may be comments."""

    @property
    def fields(self) -> dict[str, str]:
        """The column of each field; there may be only tokens."""
        has_tags = int(self.token) < self.width
        return {"tokens": self.token} | ({"tags": str(self.width)} if has_tags else {})

    @property
    def options(self) -> dict[str, str]:
        return {"delimiter": "tab" if self.is_tabs else "space", "columns": str(self.width)}

    def cells(self, line: str) -> list[str]:
        if self.is_tabs:
            return [cell.strip(_BLANK) for cell in line.strip("\r\n").split("\t")]
        return _GAPS.split(line.strip(_BLANK))


@dataclass
class _Survey:
    """What all lines of a file have in common."""

    lines: int = 0
    with_tabs: int = 0
    by_tabs: Counter[int] = field(default_factory=Counter)
    by_gaps: Counter[int] = field(default_factory=Counter)
    numbered: int = 0
    last_by_tabs: set[str] = field(default_factory=set)
    last_by_gaps: set[str] = field(default_factory=set)

    def add(self, line: str) -> None:
        tabbed = [cell.strip(_BLANK) for cell in line.strip("\r\n").split("\t")]
        spaced = _GAPS.split(line.strip(_BLANK))
        self.lines += 1
        self.with_tabs += len(tabbed) > 1
        self.by_tabs[len(tabbed)] += 1
        self.by_gaps[len(spaced)] += 1
        self.numbered += spaced[0].isdecimal()
        for last, cells in ((self.last_by_tabs, tabbed), (self.last_by_gaps, spaced)):
            if len(last) < _MAX_TAGS:
                last.add(cells[-1])


def find_layout(content: Content, encoding: Encoding) -> Layout:
    """How a file is laid out, told from all of its lines."""
    survey = _Survey()
    for line in readable_lines(content, encoding):
        if line.strip(_BLANK) and not line.startswith(("#", _BOUNDARY)):
            survey.add(line)
    is_tabs = 0 < survey.lines == survey.with_tabs
    widths = survey.by_tabs if is_tabs else survey.by_gaps
    width = max(widths, key=lambda n: (widths[n], -n), default=1)
    is_numbered = width > 2 and survey.numbered == survey.lines
    tags = survey.last_by_tabs if is_tabs else survey.last_by_gaps
    return Layout(is_tabs, width, "2" if is_numbered else "1", frozenset(tags))


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
        if len(cells) == layout.width:
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
