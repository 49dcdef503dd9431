"""How the tables of a data set were read: what a client compares with what was meant."""

from typing import Any

from pydantic import BaseModel, Field


class LeftOut(BaseModel):
    """Rows that are no part of the data set, for one reason."""

    reason: str
    rows: int
    first: list[int] = Field(description="Where the first ten of them are: numbers of rows, or of lines.")


class TableReading(BaseModel):
    """How one table was read."""

    file: str = Field(description="The name of the file.")
    format: str = Field(description="Such as csv, jsonl or parquet.")
    options: dict[str, str] = Field(
        default_factory=dict, description="What the format leaves open, such as delimiter and encoding."
    )
    columns: dict[str, str] = Field(description="The column of the table that each field was read from.")
    other_columns: list[str] = Field(description="Columns that were not read, the first twenty.")
    left_out: list[LeftOut] = Field(default_factory=list, description="Rows that were left out.")
    repaired: dict[str, int] = Field(
        default_factory=dict, description="What was repaired, and in how many places."
    )
    first_rows: list[dict[str, Any]] = Field(
        description="The first three rows as stored, labels by name; long texts and lists are cut."
    )


class TagScheme(BaseModel):
    """The scheme that the tags of a data set follow."""

    name: str = Field(description="IOB2, IOB1, IO, IOE, BIOES, BILOU, BMES, BMEWO.")
    notation: str = Field(description="How tags are written, where X is a type: B-X, B_X, X-B, b-X, B, X.")
    tags: dict[str, str] = Field(
        description="Each tag as it is written, and the tag that the first token of an entity gets for it."
    )


class DatasetReading(BaseModel):
    """How the tables of a data set were read."""

    splits: dict[str, TableReading]
    tag_scheme: TagScheme | None = None
    label_order: str | None = Field(
        default=None,
        description="Where the order of labels is from: `labels` as given, the files' `class_label` names, "
        "or `sorted`.",
    )
    warnings: list[str] = Field(
        default_factory=list, description="What was assumed, and may not be what was meant."
    )
