"""What the endpoints of data sets take and give."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, TypeAdapter

from app.core.db.datasets import Dataset
from app.domain.documents.manifest import Split, SplitSummary
from app.domain.tasks import Task


def _require_distinct(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("two labels have the same name")
    return names


LabelNames = TypeAdapter(
    Annotated[
        list[
            Annotated[
                str,
                StringConstraints(
                    strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"
                ),
            ]
        ],
        Field(min_length=2, max_length=1000),
        AfterValidator(_require_distinct),
    ]
)


class DatasetRead(BaseModel):
    """A data set: its splits, its labels and the lengths of its texts."""

    id: str
    object: Literal["dataset"] = "dataset"
    created_at: datetime
    name: str
    task: Task
    labels: list[str] = Field(
        description="Labels in order of their index; for token_classification IOB2 tags, O first. Empty "
        "for tasks without labels."
    )
    is_pair: bool = Field(description="Whether rows are text pairs.")
    rows: int = Field(description="Total rows of all splits.")
    size_bytes: int
    sha256: str
    splits: dict[Split, SplitSummary]

    @classmethod
    def of(cls, dataset: Dataset) -> "DatasetRead":
        manifest = dataset.manifest
        return cls(
            id=dataset.id,
            created_at=dataset.created_at,
            name=dataset.name,
            task=manifest.task,
            labels=manifest.labels,
            is_pair=manifest.is_pair,
            rows=sum(split.rows for split in manifest.splits.values()),
            size_bytes=manifest.files.size_bytes,
            sha256=manifest.files.digest,
            splits=manifest.splits,
        )
