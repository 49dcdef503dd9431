"""What a job has made so far."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from app.domain.architectures import Architecture
from app.domain.documents import JobSpec
from app.domain.documents.comparison import ComparedName, Comparison, Control
from app.domain.documents.gate import GateResult
from app.domain.documents.manifest import DatasetManifest, OnnxExport
from app.domain.methods import TEACHER
from worker.contracts import Student, TaskData, Teacher, TokenizedSplit
from worker.job.checkpoint import Checkpoints
from worker.job.context import Cancellation
from worker.job.evaluator import EvaluatedModel, Evaluator
from worker.runner.protocol import CHECKPOINTS, DATASET, LATENCIES, STUDENT, JobRequest, input_folder
from worker.runner.reporter import Reporter


@dataclass
class JobState:
    """A job between its request and its outcome. Each stage adds fields, which only later stages may read."""

    request: JobRequest
    workdir: Path
    device: torch.device
    reporter: Reporter
    cancellation: Cancellation

    uploaded_teacher: Teacher = field(init=False)
    """As it was loaded."""
    teacher: Teacher = field(init=False)
    """What the student learns from: the uploaded one, or that with a trimmed vocabulary."""
    teacher_max_length: int = field(init=False)
    """Tokens that the teacher takes at most."""
    max_length: int = field(init=False)
    """Tokens at which rows are cut."""

    data: TaskData = field(init=False)
    """In the tokens of ``teacher``, as is ``test``."""
    test: TokenizedSplit | None = field(init=False)
    teacher_evaluator: Evaluator = field(init=False)
    """Of models that read the uploaded teacher's tokens."""
    student_evaluator: Evaluator = field(init=False)
    """Of models that read the tokens of ``teacher``."""

    architecture: Architecture = field(init=False)
    """The planned student."""
    evaluated_teacher: EvaluatedModel | None = None
    """None where there is no teacher to compare a student with."""
    student: Student = field(init=False)
    evaluated_student: EvaluatedModel = field(init=False)

    controls: dict[ComparedName, EvaluatedModel] = field(default_factory=dict)
    """Models that are trained to be compared with the student, by name."""
    control_facts: list[Control] = field(default_factory=list)
    """What each of them is."""
    comparison: Comparison = field(init=False)
    """Of all models on the same rows."""
    gate: GateResult | None = None
    """What the publish gate says of the student, where there is one."""

    teacher_exports: dict[str, OnnxExport] = field(default_factory=dict)
    """By precision: ONNX files that the teacher's row lacks."""

    @property
    def spec(self) -> JobSpec:
        return self.request.spec

    @property
    def dataset(self) -> DatasetManifest:
        return self.request.dataset.manifest

    @property
    def keeps_unscored(self) -> bool:
        """Whether unlabeled rows without teachers' scores are of use: a network may be asked of them."""
        return not self.request.learns_from_scores or not self.teacher.has_new_head

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.workdir / CHECKPOINTS, note=self.workdir / LATENCIES)

    @property
    def teacher_folder(self) -> Path:
        return input_folder(self.workdir, TEACHER)

    @property
    def student_folder(self) -> Path:
        return self.workdir / STUDENT

    @property
    def dataset_folder(self) -> Path:
        return self.workdir / DATASET
