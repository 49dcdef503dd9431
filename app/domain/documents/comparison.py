"""How the models of a job compare on the same rows, as data: what a report shows beside the job's metrics."""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from pydantic import BaseModel, Field

from app.domain.documents.training import Precision
from app.domain.documents.versions import Json, StoredDocument
from app.domain.tasks import Task

ComparedName = Literal[
    "teacher", "student", "onnx_fp32", "onnx_int8", "without_distillation", "from_scratch", "tfidf", "trivial"
]

MeasuredName = Literal["teacher", "student"]
"""Whose files are timed."""

FILE_NAMES: Final[Mapping[Precision, ComparedName]] = {"fp32": "onnx_fp32", "int8": "onnx_int8"}
"""Of the student's ONNX files, by precision."""

PairedTest = Literal["mcnemar", "paired_bootstrap"]


class Measured(BaseModel):
    """A value, and between which values it lies in 95 % of the bootstrap resamples."""

    value: float
    low: float | None = Field(default=None, description="Null where the rows say nothing of it.")
    high: float | None = None


class ReliabilityPoint(BaseModel):
    """Answers of nearly the same probability."""

    rows: int
    confidence: float = Field(description="Their mean probability.")
    accuracy: float = Field(description="Share of them that is right.")


class Calibration(BaseModel):
    """Whether probabilities mean what they say."""

    expected_error: float = Field(description="Expected calibration error (ECE) over 15 bins of equal width.")
    points: list[ReliabilityPoint] = Field(description="The reliability curve: bins that are not empty.")


class PairedComparison(BaseModel):
    """A model beside the teacher, on the rows that both answered."""

    retained: Measured | None = Field(description="Share of the teacher's metric; null if that is 0 or less.")
    difference: Measured = Field(description="The metric minus the teacher's.")
    test: PairedTest | None = Field(
        description="McNemar's exact test for one label a text, a paired bootstrap for other tasks."
    )
    p_value: float | None = Field(
        description="Two-sided: how likely at least such a difference is if both models are equally good."
    )


class ComparedModel(BaseModel):
    """One model on one split."""

    name: ComparedName
    rows: int = Field(description="Files are measured on a sample of a large split.")
    quality: Measured = Field(description="The task's main metric.")
    beside_teacher: PairedComparison | None = None
    agreement: float | None = Field(
        default=None, description="With the teacher's answers, in [0, 1], whether they are right or not."
    )
    calibration: Calibration | None = None


class ClassScore(BaseModel):
    """Precision and recall of one class. Deltas are student minus teacher."""

    label: str
    rows: int = Field(description="That have the label.")
    precision: float
    recall: float
    precision_delta: float | None = None
    recall_delta: float | None = None


class Confusion(BaseModel):
    """Which labels are taken for which."""

    labels: list[str] = Field(description="Of rows and columns; at most 30, those most often confused.")
    counts: list[list[int]] = Field(description="Rows are labels, columns answers.")
    of: int = Field(description="Number of labels that there are.")


class GivenAnswer(BaseModel):
    """What a model answers to a text."""

    answer: str
    probability: float | None = None


class Disagreement(BaseModel):
    """A text that teacher and student answer differently."""

    row: int = Field(description="Of the split, from 0.")
    text: str = Field(description="Its beginning; the texts of a pair are separated by ' | '.")
    label: str | None
    teacher: GivenAnswer
    student: GivenAnswer
    distance: float = Field(description="How far apart the answers are; the largest come first.")


class SplitComparison(BaseModel):
    """All models on one split."""

    rows: int
    labelled_by_teacher: bool = Field(
        description="Whether choices of teacher_scores stand for labels: quality is then agreement with them."
    )
    models: list[ComparedModel]
    classes: list[ClassScore] = Field(default=[], description="Of the student, most frequent label first.")
    confusion: Confusion | None = Field(default=None, description="Of the student.")
    disagreements: list[Disagreement] = Field(default=[], description="At most 20.")


class MeasuredLatency(BaseModel):
    """Milliseconds of a run of one file."""

    model: MeasuredName
    precision: Precision
    batch_size: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int
    threads: int


class Environment(BaseModel):
    """What the measurements were made with."""

    processor: str
    cores: int = Field(description="That this job could use.")
    device: str = Field(description="On which the networks were trained.")
    system: str
    versions: dict[str, str] = Field(description="Of Python and libraries.")


class Control(BaseModel):
    """A model that was trained only to be compared with the student."""

    name: ComparedName
    method: str
    about: str = Field(description="What it is, and the budget that it was trained with.")
    parameters: int
    steps: int
    seconds: float


class Comparison(StoredDocument):
    """The models of one job beside each other."""

    document_name: ClassVar = "comparison"

    task: Task
    metric: str
    level: float = Field(default=0.95, description="Of the intervals.")
    resamples: int = Field(description="Of the bootstrap, the same for all models on the same rows.")
    seed: int = Field(description="Of the resamples.")
    splits: dict[str, SplitComparison]
    latencies: list[MeasuredLatency]
    environment: Environment
    controls: list[Control] = Field(default=[], description="None where the job trained none.")


def without_texts(comparison: Json) -> Json:
    """A stored comparison of any version without the texts of its data set."""
    match comparison:
        case {"splits": Mapping() as splits}:
            emptied = {
                name: {**split, "disagreements": []} if isinstance(split, Mapping) else split
                for name, split in splits.items()
            }
            return {**comparison, "splits": emptied}
    return comparison
