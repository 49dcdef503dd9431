"""Which columns of an uploaded table hold what, by task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints

from app.domain.errors import InvalidRequest
from app.domain.tasks import Task
from app.intake.datasets.rows import Row

_REQUIRED: Final[Mapping[Task, tuple[str, ...]]] = {
    "text_classification": ("text", "label"),
    "text_regression": ("text", "score"),
    "token_classification": ("tokens", "tags"),
    "masked_language_modeling": ("text",),
    "translation": ("source", "target"),
}
_OPTIONAL: Final[Mapping[Task, tuple[str, ...]]] = {
    "text_classification": ("text_pair", "language"),
    "text_regression": ("text_pair", "label", "language"),
    "token_classification": ("text", "language"),
    "masked_language_modeling": ("language",),
    "translation": ("language",),
}


_ColumnName = Annotated[str, StringConstraints(max_length=200)]


class Columns(BaseModel):
    """The name of the column that holds each field; one left out is looked for under the field's own name."""

    model_config = ConfigDict(extra="forbid")

    text: _ColumnName | None = None
    text_pair: _ColumnName | None = None
    label: _ColumnName | None = None
    score: _ColumnName | None = None
    tokens: _ColumnName | None = None
    tags: _ColumnName | None = None
    source: _ColumnName | None = None
    target: _ColumnName | None = None
    language: _ColumnName | None = None

    def of(self, task: Task) -> "TaskColumns":
        """The columns that a task reads.

        Raises:
            InvalidRequest: a field is none of the task's, or one column is to hold two.
        """
        fields = _REQUIRED[task] + _OPTIONAL[task]
        named: dict[str, str] = self.model_dump(exclude_none=True)
        if strange := sorted(named.keys() - set(fields)):
            raise _invalid(f"has unknown fields {_listed(strange)}; {task} supports {_listed(fields)}.")
        if {"score", "label"} <= named.keys():
            raise _invalid(
                "has both 'score' and 'label', which mean the same for text_regression. Use one of them."
            )
        if "score" in fields and "label" in named:
            named["score"] = named.pop("label")
        taken = list(named.values())
        if len(set(taken)) < len(taken):
            raise _invalid("maps two fields to the same column. Use a different column for each.")
        for field in _REQUIRED[task]:
            if field not in named and field in taken:
                raise _invalid(
                    f"maps another field to the column {field!r}. Set the column of {field!r} too."
                )
        found = {field: named.get(field, field) for field in fields if field in named or field not in taken}
        return TaskColumns(by_field=found, named=frozenset(named))


@dataclass(frozen=True)
class TaskColumns:
    """The columns that one task reads."""

    by_field: Mapping[str, str]
    named: frozenset[str]
    """Fields whose column the client named."""

    def __getitem__(self, field: str) -> str:
        return self.by_field[field]

    @property
    def names(self) -> list[str]:
        return list(self.by_field.values())

    def optional(self, field: str, row: Row) -> str | None:
        """The column of a field that a table may lack: one that the client named, or that the row has."""
        column = self.by_field.get(field)
        return column if field in self.named or column in row else None


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest("invalid_columns", f"The field 'columns' {what}", pointer="#/columns")


def _listed(fields: tuple[str, ...] | list[str]) -> str:
    return ", ".join(fields)
