"""What a job found out about its teacher and its student, as data."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from app.domain.architectures import Architecture, ParameterCount
from app.domain.documents.manifest import OnnxExport
from app.domain.documents.training import Precision
from app.domain.documents.versions import StoredDocument
from app.domain.tasks import Head

Quality = dict[str, dict[str, float]]
"""By split, then by metric."""


class ModelReport(BaseModel):
    """One model on the job's data, and its files on the job's machine."""

    quality: Quality = Field(
        description="By split (dev, and test where there is one), then by metric; splits without labels of "
        "their own are left out. For a student of token_classification `served_f1` is the F1 of dev written "
        "as running text and split as `predict` does it; `f1` is that of the data's own words."
    )
    agreement: Quality = Field(
        default_factory=dict,
        description="Agreement with the teacher's scores: the same metrics against the choices of "
        "teacher_scores in place of the labels, by split, where all its rows have scores.",
    )
    parameters: ParameterCount
    total_parameters: int
    exports: dict[Precision, OnnxExport] = Field(description="Size, latency and parity by precision.")

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        *,
        head: Head,
        quality: Quality,
        exports: Mapping[Precision, OnnxExport],
        agreement: Quality | None = None,
    ) -> "ModelReport":
        count = architecture.count(head=head)
        return cls(
            quality=quality,
            agreement=agreement or {},
            parameters=count,
            total_parameters=count.total,
            exports=dict(exports),
        )


class Ratios(BaseModel):
    """Teacher over student, so that more is better; quality is student over teacher."""

    parameters: float
    size: dict[str, float] = Field(description="Of ONNX files, by precision.")
    latency: dict[str, dict[str, float]] = Field(description="By precision, then by batch size.")
    quality: dict[str, float] = Field(description="Share of the teacher's main metric kept, by split.")


class ScoresReport(BaseModel):
    """What the student learnt from in place of a network's predictions."""

    weights: dict[str, float] = Field(description="Of the teachers, by name; they sum to 1.")
    rows: dict[str, int] = Field(description="Rows with scores of these teachers, by split.")
    quality: Quality = Field(
        description="Metrics of the scores themselves, by split, where it has labels and scores in all rows."
    )


class JobReport(StoredDocument):
    """The measurements of one job."""

    model_config = ConfigDict(protected_namespaces=())

    document_name: ClassVar = "report"

    metric: str = Field(description="The task's main metric; higher is better.")
    trivial_baseline: dict[str, float] = Field(
        description="The main metric of a constant prediction, by split."
    )
    teacher: ModelReport | None = Field(description="None where the job makes the teacher.")
    teacher_scores: ScoresReport | None = Field(
        default=None, description="None where the student learnt from no scores that came with the data."
    )
    student: ModelReport
    ratios: Ratios | None
    method: dict[str, float] = Field(description="What the method measured on the way.")
    seconds: dict[str, float] = Field(description="Wall-clock by stage, of the attempt that succeeded.")
