"""Controls: models that are trained only so that the report can say what compression bought."""

import time
from typing import Any

from app.domain.architectures import Architecture, TfidfArchitecture, TfidfShape
from app.domain.documents import TrainingSpec
from app.domain.documents.comparison import Control
from app.domain.errors import JobCancelled, JobError
from app.domain.methods import Spec
from app.domain.planning import step_count
from app.domain.planning.controls import CONTROL_STEPS, ControlName, controls_of
from app.domain.planning.stages import CONTROLS
from worker import methods
from worker.contracts import Student
from worker.job.context import JobContext
from worker.job.stages.method_context import method_context
from worker.job.stages.training import load_input
from worker.job.state import JobState
from worker.networks.target_scaling import TargetScaler
from worker.numerics.determinism import make_deterministic

_TERMS = 50_000
"""That a linear classifier weighs, at most."""


class ControlContext(JobContext):
    """A method's outside for a control: it reports no curve, and is trained anew by the next attempt."""

    def report(self, stage: str, step: int, total_steps: int, **metrics: float) -> None:  # noqa: ARG002 - the curves are the student's
        self._reporter.progress(CONTROLS, step, total_steps)

    def checkpoint_due(self) -> bool:
        return self._cancellation.suspended

    def save_checkpoint(self, state: Any, *, step: int) -> None:
        """Keep nothing: what the student's training has saved is what the job goes on with."""

    def load_checkpoint(self) -> dict[str, Any] | None:
        return None


def train_controls(state: JobState) -> None:
    """Train each and measure it on dev; one that fails is left out with a warning."""
    teacher = None if state.request.teacher is None else state.teacher.architecture
    for name, method in controls_of(state.spec.method, teacher, state.architecture).items():
        try:
            _train(state, name, method)
        except JobCancelled:
            raise
        except JobError as error:
            state.reporter.message(
                f"The report lacks the control {name!r}, whose training failed. {error.message}",
                is_warning=True,
            )


def _train(state: JobState, name: ControlName, method: Spec) -> None:
    architecture, training = _architecture(state, name), _training(state)
    began = time.perf_counter()
    student = _student(state, method, architecture, training)
    seconds = time.perf_counter() - began
    model = state.student_evaluator.candidate(student.network, architecture)
    state.student_evaluator.measure_dev(model)
    state.controls[name] = model
    state.control_facts.append(
        Control(
            name=name,
            method=method.name,
            about=_about(state, name, method, training),
            parameters=_used(name, architecture, student).count(head=model.head).total,
            steps=int(student.metrics["steps"]),
            seconds=seconds,
        )
    )


def _student(state: JobState, method: Spec, architecture: Architecture, training: TrainingSpec) -> Student:
    make_deterministic(training.seed, state.device)
    scale = TargetScaler.of(state.data)
    context = method_context(
        state,
        lambda role: load_input(role, state, scale),
        kind=ControlContext,
        architecture=architecture,
        training=training,
    )
    return methods.load(method).compress(state.teacher, state.data, method, context)


def _architecture(state: JobState, name: ControlName) -> Architecture:
    if name != "tfidf":
        return state.architecture
    read = state.teacher.architecture
    return TfidfArchitecture(
        shape=TfidfShape(terms=_TERMS), vocabulary=read.vocabulary, positions=read.positions
    )


def _used(name: ControlName, architecture: Architecture, student: Student) -> Architecture:
    """A linear classifier has room for more terms than there may be."""
    if name != "tfidf":
        return architecture
    shape = architecture.shape.model_copy(update={"terms": int(student.metrics["terms"])})
    return architecture.model_copy(update={"shape": shape})


def _training(state: JobState) -> TrainingSpec:
    """That of the job, of which a few steps are enough to say what a control is worth."""
    training = state.spec.training
    assert training.epochs is not None
    steps = step_count(rows=len(state.data.train), training=training)
    epochs = training.epochs * min(1.0, CONTROL_STEPS / steps)
    return training.model_copy(update={"epochs": epochs, "max_epochs": epochs})


def _about(state: JobState, name: ControlName, method: Spec, training: TrainingSpec) -> str:
    if not method.trains_in_steps:
        return f"Word pieces and pairs of them, {_TERMS:,} at most; regularisation chosen on dev."
    begins = "from random weights" if name == "from_scratch" else "from the student's initial weights"
    spent = f"{training.epochs:.3g} epochs"
    if training.epochs != state.spec.training.epochs:
        spent += f", {CONTROL_STEPS} steps at most; the student had {state.spec.training.epochs:g} or more"
    return f"Trained {begins} on the labels alone: {spent}."
