"""Rows of JSON: an object a line, a list of objects, or a form in which pandas and others write a table."""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from app.domain.errors import InvalidRequest, TooLarge
from app.intake.datasets.cells import listed
from app.intake.datasets.content import Content, Encoding, byte_lines, read_lines, read_text
from app.intake.datasets.rows import MAX_ROW_BYTES, BadRow, LeftOutRow, Place, Row
from app.intake.datasets.split_names import SPLIT_NAMES
from app.intake.datasets.squad import is_squad, questions_of

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()
_LISTS: Final = frozenset(("tokens", "tags", "labels"))
"""Columns that hold a list in each row."""


def find_layout(content: Content, encoding: Encoding, *, are_lines: bool) -> str:
    """``lines``, ``list`` or ``object``, told from the first two lines that are not blank.

    A first line that is whole by itself is a row if others follow; an object even alone where the file's name
    promises lines.
    """
    first, second = _first_lines(content, encoding)
    first = first.removeprefix(b"\xef\xbb\xbf").strip()
    if first[:1] not in (b"[", b"{"):
        return "lines"
    if (
        second
        and len(first) < MAX_ROW_BYTES
        and (_is_json(first) or second.lstrip()[:1] == first[:1] == b"{")
    ):
        return "lines"
    if first[:1] == b"{" and are_lines and _is_json(first):
        return "lines"
    return "list" if first[:1] == b"[" else "object"


def _first_lines(content: Content, encoding: Encoding) -> list[bytes]:
    """Two that are not blank, as far as there are such."""
    found: list[bytes] = []
    with suppress(TooLarge):
        lines = (line for line in byte_lines(content, encoding) if line.strip())
        found += islice(lines, 2)
    return [*found, b"", b""][:2]


def json_lines(content: Content, encoding: Encoding) -> Iterator[Row | BadRow | LeftOutRow | None]:
    """None for a blank line."""
    place = content.place
    for line in read_lines(content, encoding):
        if not line.strip():
            yield None
            continue
        try:
            yield _row(json.loads(line), place, "Write one object per line.")
        except (ValueError, RecursionError) as error:
            yield place.fault("invalid_json", f"not valid JSON ({error}). Write one object per line.")


def json_list(content: Content, encoding: Encoding) -> Iterator[Row | BadRow | LeftOutRow]:
    """The items of a list, one after the other: memory holds one of them."""
    place = content.place
    place.number = 0
    for item in _items(read_text(content, encoding), place):
        place.number += 1
        yield _row(item, place, "Write a list of objects.")


def json_object(
    content: Content, encoding: Encoding, columns: Collection[str]
) -> tuple[str, Iterator[Row | BadRow | LeftOutRow]]:
    """The form of a table that is one object, in words, and its rows."""
    place = content.place
    text = "".join(read_text(content, encoding))
    place.number = 0
    values = _values(text, place)
    form, rows = ("objects", values) if len(values) > 1 else _of_object(values[0], columns, place)
    return form, _numbered(rows, place)


def _numbered(rows: list[Any], place: Place) -> Iterator[Row | BadRow | LeftOutRow]:
    for row in rows:
        place.number += 1
        yield _row(row, place, "Write a list of objects.")


def _row(value: Any, place: Place, advice: str) -> Row | BadRow | LeftOutRow:
    """An object, or spaCy's pair of a text and what is said of it."""
    match value:
        case None:
            return LeftOutRow("it is null")
        case dict():
            return value
        case [str(text), dict(said)]:
            return {"text": text, **said}
    return place.fault("invalid_json", f"not a JSON object. {advice}")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _items(parts: Iterator[str], place: Place) -> Iterator[Any]:
    buffer = _Buffer(parts, place)
    if buffer.character() != "[":
        raise buffer.fault("it does not start with [")
    buffer.at += 1
    separator = ""
    while (character := buffer.character()) != "]":
        if separator and character != separator:
            raise buffer.fault("a comma is missing")
        buffer.at += len(separator)
        buffer.character()
        yield buffer.value()
        separator = ","
    buffer.at += 1
    if buffer.character():
        raise buffer.fault("something follows the list")


class _Buffer:
    """A part of a text that is read on as it is needed."""

    def __init__(self, parts: Iterator[str], place: Place) -> None:
        self._parts = parts
        self._place = place
        self._text = ""
        self.at = 0

    def character(self) -> str:
        """The next one that is no space; none at the end."""
        while True:
            found = _SPACE.match(self._text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self._text) or not self._read_on():
                return self._text[self.at : self.at + 1]

    def value(self) -> Any:
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self.at)
            except (ValueError, RecursionError) as error:
                # A text that is cut off is no JSON either.
                if len(self._text) - self.at > MAX_ROW_BYTES:
                    raise self.fault(f"{error}, or longer than {MAX_ROW_BYTES:,} characters") from None
                if not self._read_on():
                    raise self.fault(str(error)) from None
                continue
            if end - self.at > MAX_ROW_BYTES:
                raise self.fault(f"longer than {MAX_ROW_BYTES:,} characters")
            self.at = end
            return value

    def fault(self, what: str) -> InvalidRequest:
        return InvalidRequest(
            "invalid_json",
            f"{self._place.split}, row {self._place.number + 1:,}: not valid JSON ({what}). Write a list of "
            "objects, or one object per line.",
            pointer=f"#/{self._place.split}",
            row=self._place.number + 1,
        )

    def _read_on(self) -> bool:
        more = next(self._parts, "")
        self._text = self._text[self.at :] + more
        self.at = 0
        return bool(more)


def _values(text: str, place: Place) -> list[Any]:
    """The objects of a text, one after the other, however they are laid out."""
    values: list[Any] = []
    at = 0
    while (space := _SPACE.match(text, at)) and space.end() < len(text):
        try:
            value, at = _DECODER.raw_decode(text, space.end())
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(
                "invalid_json",
                f"{place.split}, row {len(values) + 1:,}: not valid JSON ({error}). Write a list of objects, "
                "or one object per line.",
                pointer=f"#/{place.split}",
            ) from None
        values.append(value)
    return values


def _of_object(table: Any, columns: Collection[str], place: Place) -> tuple[str, list[Any]]:
    """The form of a table, in words, and its rows."""
    match table:
        case {"columns": list(names), "data": list(rows)} if all(isinstance(name, str) for name in names):
            return "pandas, split", [
                dict(zip(names, row, strict=False)) if isinstance(row, list) else row for row in rows
            ]
        case {"schema": dict(), "data": list(rows)}:
            return "pandas, table", rows
        case {"data": list(articles)} if is_squad(articles):
            return "SQuAD", list(questions_of(articles))
    found = {name: table[name] for name in table if name in columns}
    if found and all(isinstance(column, dict) for column in found.values()):
        return "pandas, columns", _by_index(table)
    if found and all(_is_column(name, column) for name, column in found.items()):
        return "lists of columns", _side_by_side(table, place)
    if not found and all(isinstance(row, dict) and columns & row.keys() for row in table.values()):
        return "pandas, index", list(table.values())
    lists = {name: rows for name, rows in table.items() if _are_rows(rows)}
    if not found and len(lists) > 1:
        named = [name for name in lists if name.lower() in SPLIT_NAMES[place.split]]
        if len(named) != 1:
            raise InvalidRequest(
                "several_tables",
                f"{place.split}: the file has several lists of rows: {listed(lists)}. Send each as a file.",
                pointer=f"#/{place.split}",
            )
        lists = {named[0]: lists[named[0]]}
    if not found and lists:
        [(name, rows)] = lists.items()
        return f"list under {name!r}", [_unwrapped(row) for row in rows]
    return "object", [table]


def _is_column(name: str, value: Any) -> bool:
    """Whether a list has a value for each row, rather than being the value of one row."""
    return isinstance(value, list) and (name not in _LISTS or all(isinstance(item, list) for item in value))


def _by_index(table: dict[str, Any]) -> list[Row]:
    """Rows of columns that map an index to values."""
    columns = {name: column for name, column in table.items() if isinstance(column, dict)}
    index = dict.fromkeys(key for column in columns.values() for key in column)
    return [{name: column.get(key) for name, column in columns.items()} for key in index]


def _side_by_side(table: dict[str, Any], place: Place) -> list[Row]:
    columns = {name: column for name, column in table.items() if isinstance(column, list)}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name!r} has {length:,}" for name, length in islice(lengths.items(), 5))
        raise InvalidRequest(
            "invalid_json",
            f"{place.split}: the columns differ in length: {counts}. Write a value for each row.",
            pointer=f"#/{place.split}",
        )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list)


def _unwrapped(row: Any) -> Any:
    """A row as the viewer of the hub gives it."""
    match row:
        case {"row_idx": _, "row": dict(inner)}:
            return inner
    return row
