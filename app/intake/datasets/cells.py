"""What a single cell of a table holds, checked."""

import ast
import json
import re
import reprlib
from collections.abc import Iterable
from typing import Any
from unicodedata import category

from app.intake.datasets.rows import Place, Row

_SHOWN_CHARACTERS = 200
_GAPS = re.compile(r"[ \t\r\n]+")
_ITEM = r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|-?\d{1,18}"""
_PYTHON_ITEM = re.compile(_ITEM)
_PYTHON_LIST = re.compile(rf"\[\s*(?:(?:{_ITEM})\s*(?:,\s*(?:{_ITEM})\s*)*)?\]")
_PRINTED = ("['", '["')
"""How lists begin that are printed in a form which does not tell where items end, such as NumPy's."""


def cell(row: Row, column: str, place: Place, *, absent: str = "") -> Any:
    """The value of a column. ``absent`` is further advice for a table without the column."""
    if column not in row:
        raise place.fault(
            "missing_column",
            f"no column {column!r}; the columns are {listed(row)}. Map your columns with the field "
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


def items(row: Row, column: str, place: Place, *, absent: str = "", are_tags: bool = False) -> list[Any]:
    """A cell with a list in it, or text of one: JSON, as Python prints it, or items with spaces between.

    Only tags may be numbers: ``[1]`` is a token.
    """
    value = cell(row, column, place, absent=absent)
    if isinstance(value, str):
        found = printed_list(value)
        is_list = found is not None and (are_tags or all(isinstance(item, str) for item in found))
        value = found if is_list else [part for part in _GAPS.split(value) if part]
        if value and str(value[0]).startswith(_PRINTED):
            raise place.fault(
                "invalid_list",
                f"{column!r} looks like a printed array ({kind(row[column])}). Write a JSON list, or items "
                "with spaces between.",
            )
    if not value:
        raise place.fault("empty_list", f"{column!r} is empty. Fix or remove the row.")
    if not isinstance(value, list):
        raise place.fault(
            "invalid_list",
            f"{column!r} is {kind(value)}. Use a list, or one text with spaces between the items.",
        )
    return value


def printed_list(text: str) -> list[Any] | None:
    """The items of a list that a text writes as JSON, or as Python prints one; None where it writes none."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")):
        return None
    try:
        found = json.loads(stripped)
    except (ValueError, RecursionError):
        if not _PYTHON_LIST.fullmatch(stripped):
            return None
        try:
            found = [_literal(item) for item in _PYTHON_ITEM.findall(stripped)]
        except (SyntaxError, ValueError):  # an escape that is none, or a null byte beside one
            return None
    return found if all(isinstance(item, str | int) for item in found) else None


def _literal(item: str) -> Any:
    return ast.literal_eval(item) if "\\" in item or item[0] not in "'\"" else item[1:-1]


def require_whole_characters(value: str, column: str, place: Place) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise place.fault(
            "invalid_text", f"{column!r} contains a lone surrogate (half a character). Fix the row."
        ) from None


def listed(columns: Iterable[str]) -> str:
    """Names of columns, at no great length."""
    return ", ".join(map(repr, columns))[:_SHOWN_CHARACTERS] or "none"


def kind(value: Any) -> str:
    """What a value is, in words that are never long."""
    if value in (None, ""):
        return "empty"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name} ({reprlib.repr(value)})"
