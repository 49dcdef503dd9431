"""The worker trains what the client was shown."""

from pathlib import Path
from typing import Any

import pytest

from app.domain.documents import Target, TrainingSpec
from app.domain.documents.plan import Plan, PlannedTeacher
from app.domain.planning import TypicalRow, Workload, estimate, plan_student
from app.domain.tasks import Head
from tests.tiny import LABELS, tiny_model_folder
from tests.worker.requests import Shelf, run_here
from worker.runner.protocol import JobRequest, Succeeded

SMALL = {"shape": {"layers": 1, "hidden": 16, "heads": 1, "ffn": 32}}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("plans"))


def request_for(shelf: Shelf, target: dict[str, Any]) -> JobRequest:
    """A job whose client was shown a smaller student than is planned for such a target today."""
    encoder = shelf.add_model(tiny_model_folder(shelf.root / f"encoder-{len(list(shelf.root.iterdir()))}"))
    request = shelf.request(
        encoder, shelf.add_dataset(), "scratch", target=target, training={"epochs": 0.2}, exports=["fp32"]
    )
    architecture = encoder.manifest.architecture
    head = Head.of("text_classification", labels=len(LABELS), vocabulary=architecture.vocabulary)
    student = plan_student(architecture, request.spec.method, Target.model_validate(SMALL), head=head)
    plan = Plan(
        teacher=PlannedTeacher.of(encoder.id, architecture, head),
        student=student,
        estimate=estimate(
            Workload(
                student=student.architecture,
                method=request.spec.method,
                head=head,
                rows=256,
                row=TypicalRow(tokens=10),
                training=TrainingSpec(epochs=0.2),
            )
        ),
    )
    return request.model_copy(update={"plan": plan})


def trained(request: JobRequest, workdir: Path) -> object:
    outcome, _ = run_here(request, workdir)
    assert isinstance(outcome, Succeeded), outcome
    return outcome.manifest.architecture


def test_the_plan_is_kept_to(shelf: Shelf, tmp_path: Path) -> None:
    request = request_for(shelf, {"compression_ratio": 1.5})
    assert request.plan is not None
    assert trained(request, tmp_path / "work") == request.plan.student.architecture


def test_a_job_from_before_plans_were_stored_is_planned(shelf: Shelf, tmp_path: Path) -> None:
    request = request_for(shelf, {"compression_ratio": 1.5})
    assert request.plan is not None
    old = request.model_copy(update={"plan": None})
    assert trained(old, tmp_path / "work") != request.plan.student.architecture


def test_a_bound_on_latency_is_planned_where_the_job_runs(shelf: Shelf) -> None:
    assert request_for(shelf, {"max_latency_ms": 1000}).planned_student is None
