"""Controls: trained beside a student, and never in its way."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from app.domain.documents import TrainingSpec
from app.domain.documents.events import Metrics, Progress
from app.domain.errors import JobCancelled, JobError
from app.domain.methods import DistillationSpec
from app.domain.planning.stages import CONTROLS
from tests.worker.compression import encoder_card, make_data, make_teacher
from worker import methods
from worker.job.checkpoint import Checkpoints
from worker.job.context import Cancellation
from worker.job.evaluator import Evaluator
from worker.job.stages.controls import ControlContext, train_controls
from worker.runner.reporter import Reporter


class Told(list[Any]):
    """What a job's process tells."""

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self if event.kind == "message" and event.level == "warning"]


def context(tmp_path: Path, told: Told, cancellation: Cancellation) -> ControlContext:
    return ControlContext(
        device=torch.device("cpu"),
        training=TrainingSpec(epochs=1),
        architecture=encoder_card(),
        cache_dir=tmp_path,
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
        checkpoint_interval_s=0,
        reporter=Reporter(told.append),
        cancellation=cancellation,
        load_model=lambda _: pytest.fail("a control needs no other model"),
    )


def test_it_leaves_curve_and_checkpoints_to_the_student(tmp_path):
    told = Told()
    asked = context(tmp_path, told, Cancellation())
    asked.report("training", 1, 2, loss=1.0, dev_quality=0.5)
    assert [event.stage for event in told if isinstance(event, Progress)] == [CONTROLS]
    assert not [event for event in told if isinstance(event, Metrics)]
    assert not asked.checkpoint_due()
    asked.save_checkpoint({"weights": torch.ones(1)}, step=1)
    assert not (tmp_path / "checkpoints").exists()
    assert asked.load_checkpoint() is None


def test_a_job_that_is_to_go_on_elsewhere_does_not_wait_for_it(tmp_path):
    cancellation = Cancellation()
    asked = context(tmp_path, Told(), cancellation)
    cancellation.suspend()
    assert asked.checkpoint_due()
    with pytest.raises(JobCancelled):
        asked.check_cancelled()


def state(tmp_path: Path, told: Told) -> Any:
    """Of a job whose student is trained."""
    data, teacher, cancellation = make_data(), make_teacher(), Cancellation()
    return SimpleNamespace(
        request=SimpleNamespace(teacher=object(), cache_dir=tmp_path, checkpoint_interval_s=30),
        spec=SimpleNamespace(
            method=DistillationSpec(name="distillation"),
            training=TrainingSpec(epochs=400, batch_size=32, max_length=32, learning_rate=2e-3),
        ),
        teacher=teacher,
        data=data,
        architecture=encoder_card(),
        device=torch.device("cpu"),
        reporter=Reporter(told.append),
        cancellation=cancellation,
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
        student_evaluator=Evaluator(data=data, test=None, device=torch.device("cpu")),
        controls={},
        control_facts=[],
    )


class Instant:
    """A method that takes no time; what it was asked for is kept."""

    def __init__(self) -> None:
        self.trainings: list[TrainingSpec] = []

    def compress(self, teacher: Any, data: Any, spec: Any, context: Any) -> Any:
        self.trainings.append(context.training)
        metrics = {"steps": 500.0} | ({"terms": 7.0} if spec.name == "tfidf" else {})
        return SimpleNamespace(network=teacher.network, metrics=metrics)


def test_one_that_fails_is_left_out_with_a_warning(tmp_path, monkeypatch):
    told = Told()

    def load_some(spec: Any) -> Any:
        if spec.name == "weight_copy":
            assert spec.distillation_terms is None
            raise JobError("training_diverged", "The loss became NaN.")
        return Instant()

    monkeypatch.setattr(methods, "load", load_some)
    job = state(tmp_path, told)
    train_controls(job)
    assert list(job.controls) == ["tfidf"]
    assert told.warnings == [
        "The report lacks the control 'without_distillation', whose training failed. The loss became NaN."
    ]
    [tfidf] = job.control_facts
    assert tfidf.parameters == 7 + 7 * 2 + 2  # of the terms that there are


def test_a_long_training_is_cut_to_a_budget_that_is_told(tmp_path, monkeypatch):
    method = Instant()
    monkeypatch.setattr(methods, "load", lambda _: method)
    job = state(tmp_path, Told())
    train_controls(job)
    training = method.trainings[0]
    assert training.epochs == training.max_epochs == 400 * 500 / (400 * 8)  # 256 rows in batches of 32
    assert job.control_facts[0].about == (
        "Trained from the student's initial weights on the labels alone: 62.5 epochs, 500 steps at most; the "
        "student had 400 or more."
    )
