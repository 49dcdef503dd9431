"""What a single cell of a table holds, checked."""

import re
import reprlib
from typing import Any
from unicodedata import category

from app.intake.datasets.rows import Place, Row

_SHOWN_CHARACTERS = 200
_GAPS = re.compile(r"[ \t\r\n]+")


def cell(row: Row, column: str, place: Place, *, absent: str = "") -> Any:
    """The value of a column. ``absent`` is further advice for a table without the column."""
    if column not in row:
        there = ", ".join(map(repr, row))[:_SHOWN_CHARACTERS]
        raise place.fault(
            "missing_column",
            f"no column {column!r}; the columns are {there or 'none'}. Map your columns with the field "
            f"'columns', or set the right 'task'. {absent}".rstrip(),
            column=column,
        )
    return row[column]


def text(row: Row, column: str, place: Place, *, absent: str = "") -> str:
    """A cell of text with something in it."""
    value = cell(row, column, place, absent=absent)
    if not isinstance(value, str):
        raise place.fault("invalid_text", f"{column!r} is {kind(value)}, not text. Fix or remove the row.")
    if all(character.isspace() or category(character) == "Cf" for character in value):
        # Format characters, such as spaces of no width, are nothing to read either.
        raise place.fault("empty_text", f"{column!r} is empty. Fix or remove the row.")
    require_whole_characters(value, column, place)
    return value


def items(row: Row, column: str, place: Place, *, absent: str = "") -> list[Any]:
    """A cell with a list in it, or text that spaces part into one."""
    value = cell(row, column, place, absent=absent)
    if isinstance(value, str):
        value = [part for part in _GAPS.split(value) if part]
    if not value:
        raise place.fault("empty_list", f"{column!r} is empty. Fix or remove the row.")
    if not isinstance(value, list):
        raise place.fault(
            "invalid_list",
            f"{column!r} is {kind(value)}. Use a list, or one text with spaces between the items.",
        )
    return value


def require_whole_characters(value: str, column: str, place: Place) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise place.fault(
            "invalid_text", f"{column!r} contains a lone surrogate (half a character). Fix the row."
        ) from None


def kind(value: Any) -> str:
    """What a value is, in words that are never long."""
    if value in (None, ""):
        return "empty"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name} ({reprlib.repr(value)})"
