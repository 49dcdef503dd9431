"""What the endpoints of data sets take and give."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, TypeAdapter

from app.core.db.datasets import Dataset
from app.domain.documents.manifest import DatasetManifest, Split, SplitSummary
from app.domain.documents.table_reading import DatasetReading
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


class _Described(BaseModel):
    """What tables are."""

    task: Task
    labels: list[str] = Field(
        description="Labels in order of their index; for token_classification IOB2 tags, O first. Empty "
        "for tasks without labels."
    )
    is_pair: bool = Field(description="Whether rows are text pairs.")
    rows: int = Field(description="Total rows of all splits.")
    splits: dict[Split, SplitSummary]
    reading: DatasetReading | None = Field(
        description="How the tables were read: compare it with what you meant. Null for data sets of earlier "
        "versions of the service."
    )


class DatasetCheck(_Described):
    """What tables were understood as: splits, labels, the lengths of texts, and how they were read."""

    object: Literal["dataset_check"] = "dataset_check"

    @classmethod
    def of(cls, manifest: DatasetManifest) -> "DatasetCheck":
        return cls(**_described(manifest))


class DatasetRead(_Described):
    """A data set: its splits, its labels, the lengths of its texts, and how its tables were read."""

    id: str
    object: Literal["dataset"] = "dataset"
    created_at: datetime
    name: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, dataset: Dataset) -> "DatasetRead":
        manifest = dataset.manifest
        return cls(
            id=dataset.id,
            created_at=dataset.created_at,
            name=dataset.name,
            size_bytes=manifest.files.size_bytes,
            sha256=manifest.files.digest,
            **_described(manifest),
        )


def _described(manifest: DatasetManifest) -> dict[str, Any]:
    return {
        "task": manifest.task,
        "labels": manifest.labels,
        "is_pair": manifest.is_pair,
        "rows": sum(split.rows for split in manifest.splits.values()),
        "splits": manifest.splits,
        "reading": manifest.reading,
    }
