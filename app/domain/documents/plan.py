"""What a job is to do: the student that its target leads to, and roughly what it will cost."""

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, computed_field

from app.domain.architectures import (
    BYTES_PER_PARAMETER,
    AnyShape,
    Architecture,
    FamilyName,
    ParameterCount,
)
from app.domain.documents.manifest import Split
from app.domain.documents.training import Precision
from app.domain.documents.versions import StoredDocument
from app.domain.methods.card import EmbeddingOption
from app.domain.tasks import Head


class Advice(BaseModel):
    """A suggested change and its effect, or what a plan assumes."""

    about: EmbeddingOption | Literal["latency", "teacher", "labels"] = Field(
        description="Field of the target, or of the job."
    )
    value: int | None = Field(default=None, description="Suggested value.")
    freed_parameters: int | None = Field(default=None, description="Parameters that it would save.")
    shape: AnyShape | None = Field(
        default=None, description="Largest student within the budget with this value, if it is a larger one."
    )
    message: str


class Budget(BaseModel):
    """The parameters that a target allows, and the fraction used by each part of the student."""

    parameters: int = Field(
        description="Parameters that the target allows; the student's own if the target sets no limit."
    )
    embeddings: float
    encoder: float
    decoder: float
    head: float
    unused: float


class StudentPlan(BaseModel):
    """The student chosen for a target."""

    architecture: Architecture
    parameters: ParameterCount
    compression_ratio: float | None = Field(
        description="Teacher parameters divided by student parameters; null without a teacher."
    )
    size_mb: dict[Precision, float] = Field(
        description="Size of the weights in megabytes (10^6 bytes) by precision."
    )
    budget: Budget
    latency_ms: float | None = Field(
        default=None,
        description="Latency of one text, if max_latency_ms is the target. In a plan it is estimated from "
        "matrix products on the API host; the job measures it on the worker.",
    )
    advice: list[Advice] = []

    @computed_field  # type: ignore[prop-decorator]
    @property
    def shape(self) -> AnyShape:
        return self.architecture.shape


class StageEstimate(BaseModel):
    """What one stage of a job takes, or a stretch of its training steps."""

    stage: str
    seconds: float
    built_in_seconds: float = Field(description="The same by the built-in figures alone.")
    fixed_seconds: float = Field(
        default=0.0, description="What of these is the same on every device, such as measuring latency."
    )
    steps: int = Field(default=0, description="Optimiser steps, of a stretch of the training.")


class Estimate(BaseModel):
    """Rough cost of a job; see ``estimate`` for what is counted."""

    steps: int
    max_steps: int = Field(
        default=0,
        description="Steps if quality on dev still rises at the end of the planned ones; `seconds` is "
        "without the additional ones.",
    )
    seconds: float = Field(description="Of all stages, from the start of the job to the stored student.")
    peak_memory_mb: float
    assumed_gflops: float = Field(description="Sustained GFLOPS of training by the built-in figures.")
    stages: list[StageEstimate] = Field(
        default=[],
        description="The stages in their order. Training has several entries where its steps differ in cost.",
    )
    step_products: float = Field(
        default=0.0, description="Multiply-adds of a training step's forward pass, at the beginning."
    )
    measured_jobs: int = Field(
        default=0,
        description="Finished jobs of the method, on devices of the workers that are there, whose times the "
        "estimate goes by; 0: built-in figures.",
    )


class PlannedTeacher(BaseModel):
    """The teacher of a plan."""

    id: str
    architecture: FamilyName
    shape: AnyShape
    parameters: int = Field(description="Parameters, including a head for the data set's task.")
    size_mb: float = Field(description="Size of the fp32 weights in megabytes (10^6 bytes).")

    @classmethod
    def of(cls, id_: str, architecture: Architecture, head: Head) -> "PlannedTeacher":
        parameters = architecture.count(head=head).total
        return cls(
            id=id_,
            architecture=architecture.family,
            shape=architecture.shape,
            parameters=parameters,
            size_mb=parameters * BYTES_PER_PARAMETER["fp32"] / 1e6,
        )


class PlannedScores(BaseModel):
    """The teacher_scores of the data set that a job learns from in place of a network's predictions."""

    weights: dict[str, float] = Field(description="Of the teachers, by name; they sum to 1.")
    rows: dict[Split, dict[str, int]] = Field(description="Rows with scores by split, then by teacher.")
    notes: list[str] = Field(
        default=[], description="What becomes of rows without scores, and what to check."
    )


class Plan(StoredDocument):
    """Plan of a job: the student, and the estimated cost."""

    document_name: ClassVar = "plan"

    teacher: PlannedTeacher | None = Field(description="Null for jobs without a teacher.")
    teacher_scores: PlannedScores | None = Field(
        default=None, description="Null where the job learns from no scores of the data set."
    )
    student: StudentPlan
    estimate: Estimate
