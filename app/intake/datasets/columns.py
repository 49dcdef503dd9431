"""Which columns of an uploaded table hold what, by task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints, create_model

from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS, Task
from app.intake.datasets.rows import Row

_ColumnName = Annotated[str, StringConstraints(max_length=200)]


class Columns(BaseModel):
    """The name of the column that holds each field; one left out is looked for under the field's own name.

    ``ColumnNames`` adds the fields, which are those of all tasks.
    """

    model_config = ConfigDict(extra="forbid")

    def of(self, task: Task) -> "TaskColumns":
        """The columns that a task reads.

        Raises:
            InvalidRequest: a field is none of the task's, or one column is to hold two.
        """
        known = TASKS[task].columns
        fields = known.required + known.optional
        named: dict[str, str] = self.model_dump(exclude_none=True)
        if strange := sorted(named.keys() - set(fields)):
            raise _invalid(f"has unknown fields {_listed(strange)}; {task} supports {_listed(fields)}.")
        if known.target is not None and known.target_alias in named:
            if known.target in named:
                raise _invalid(
                    f"has both {known.target!r} and {known.target_alias!r}, which mean the same for {task}. "
                    "Use one of them."
                )
            named[known.target] = named.pop(known.target_alias)
        taken = list(named.values())
        if len(set(taken)) < len(taken):
            raise _invalid("maps two fields to the same column. Use a different column for each.")
        for field in known.required:
            if field not in named and field in taken:
                raise _invalid(
                    f"maps another field to the column {field!r}. Set the column of {field!r} too."
                )
        found = {field: named.get(field, field) for field in fields if field in named or field not in taken}
        return TaskColumns(by_field=found, named=frozenset(named))


_FIELDS: Final = {
    field: (_ColumnName | None, None)
    for record in TASKS.values()
    for field in record.columns.required + record.columns.optional
}
ColumnNames: Final[type[Columns]] = create_model("ColumnNames", __base__=Columns, **_FIELDS)  # type: ignore[call-overload]


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
