"""What a row asks: the columns that every split has, in canonical form."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from app.domain.documents.manifest import Split
from app.domain.tasks import TASKS, Task
from app.domain.word_splitting import WordSplitter
from app.domain.words import words
from app.intake.datasets.cells import cell, items, kind, require_whole_characters, text
from app.intake.datasets.columns import TaskColumns
from app.intake.datasets.rows import Place, Row

_MAX_LANGUAGE_CHARACTERS = 100
_TOKENS = pa.list_(pa.string())


@dataclass(frozen=True)
class Column:
    """A canonical column, and how a row of the table fills it."""

    name: str
    type: pa.DataType
    read: Callable[[Row, Place], Any]


def input_columns(
    task: Task, columns: TaskColumns, split: Split, *, first: Row, splitter: WordSplitter
) -> list[Column]:
    """The columns of a split that are not to be predicted, by what its first row has.

    Args:
        task: says which there are.
        columns: where the table keeps them.
        split: the table's.
        first: row.
        splitter: of plain texts, where the task's inputs are words.
    """
    known = TASKS[task].columns
    if known.unlabeled_input is not None:
        [tokens] = known.inputs
        plain = columns.optional(known.unlabeled_input, first)
        if split == "unlabeled" and plain and columns[tokens] not in first:
            return [Column(tokens, _TOKENS, partial(_split_text, column=plain, splitter=splitter))]
        return [Column(tokens, _TOKENS, partial(_token_list, column=columns[tokens]))]
    found = [_text(name, columns[name]) for name in known.inputs]
    if known.pair is not None and (pair := columns.optional(known.pair, first)):
        found.append(_text(known.pair, pair))
    return found


def language_column(columns: TaskColumns, *, first: Row) -> Column | None:
    """The column that names each row's language, where there is one."""
    column = columns.optional("language", first)
    return Column("language", pa.string(), partial(_language, column=column)) if column else None


def late_columns(task: Task, columns: TaskColumns, split: Split, *, first: Row) -> frozenset[str]:
    """Columns that would have been read, had the first row them: no later row may bring one."""
    measure = TASKS[task].columns.measure
    fields = ["text_pair", "language"]
    if split == "unlabeled":
        fields.append("tokens")
    elif measure is not None:
        fields.append(measure)
    names = [columns[field] for field in fields if field in columns.by_field]
    return frozenset(name for name in names if name not in first)


def count_words(value: str | list[str]) -> int:
    """Words and punctuation marks of a text, or of a list of them."""
    return len(words(value)) if isinstance(value, str) else len(value)


def _text(name: str, column: str) -> Column:
    return Column(name, pa.string(), lambda row, place: text(row, column, place))


def _split_text(row: Row, place: Place, *, column: str, splitter: WordSplitter) -> list[str]:
    plain = text(row, column, place)
    return [plain[start:end] for start, end in splitter.places(plain)]


def _token_list(row: Row, place: Place, *, column: str) -> list[str]:
    found = items(row, column, place)
    for number, token in enumerate(found, 1):
        if not isinstance(token, str) or not token.strip():
            raise place.fault(
                "invalid_token",
                f"token {number:,} of {column!r} is {kind(token) if token else 'empty'}. Tokens must be "
                "text; remove empty tokens and their tags.",
                token=number,
            )
    require_whole_characters("".join(found), column, place)
    return found


def _language(row: Row, place: Place, *, column: str) -> str:
    language = cell(row, column, place, absent="Set the language in all rows of a split or in none.")
    if not isinstance(language, str) or not language.strip():
        raise place.fault(
            "invalid_language",
            f"{column!r} is {kind(language)}. Set the language of every row, such as 'da', or rename the "
            "column if it means something else.",
        )
    if not language.isprintable() or len(language) > _MAX_LANGUAGE_CHARACTERS:
        raise place.fault(
            "invalid_language",
            f"a language must have at most {_MAX_LANGUAGE_CHARACTERS} printable characters.",
        )
    return language
