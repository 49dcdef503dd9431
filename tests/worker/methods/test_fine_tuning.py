"""Fine-tuning: how fast the pretrained part moves, and how fast a head that was drawn for the job."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.methods import FineTuningSpec
from app.domain.tasks import Task
from tests.worker.compression import TEACHER_SHAPE, MemoryContext, make_data, make_teacher
from worker.contracts import Teacher
from worker.methods.fine_tuning.method import FineTuning

BODY = 0.05 / TEACHER_SHAPE.hidden


def moved(teacher: Teacher, tmp_path: Path, task: Task, **training: float | None) -> tuple[float, float]:
    """The farthest that a weight of the body and of the head goes in Adam's first step: its rate."""
    data = make_data(task)
    context = MemoryContext(
        tmp_path,
        architecture=teacher.architecture,
        **{
            "epochs": 32 / 256,
            "warmup_ratio": 0,
            "weight_decay": 0,
            "evaluations": 1,
            "max_gradient_norm": 1e9,
            "learning_rate": None,
            **training,
        },
    )
    before = copy.deepcopy(teacher.network.state_dict())
    student = FineTuning().compress(teacher, data, FineTuningSpec(name="fine_tuning"), context)
    farthest = {True: 0.0, False: 0.0}
    for name, value in student.network.state_dict().items():
        in_body = name.startswith("bert.") or name == "cls.predictions.decoder.weight"
        farthest[in_body] = max(farthest[in_body], (value - before[name]).abs().max().item())
    return farthest[True], farthest[False]


@pytest.mark.parametrize(
    "task", ["text_classification", "text_regression", "token_classification", "masked_language_modeling"]
)
def test_a_new_head_has_a_rate_of_its_own(task: Task, tmp_path: Path) -> None:
    teacher = replace(make_teacher(task=task), has_new_head=True)
    assert moved(teacher, tmp_path, task, learning_rate=1e-5) == pytest.approx((1e-5, 5e-4), rel=0.02)


def test_a_head_that_the_model_came_with_goes_with_the_rest(tmp_path: Path) -> None:
    teacher = make_teacher()
    assert moved(teacher, tmp_path, "text_classification") == pytest.approx((BODY, BODY), rel=0.02)


def test_a_larger_rate_is_the_heads_too(tmp_path: Path) -> None:
    teacher = replace(make_teacher(), has_new_head=True)
    found = moved(teacher, tmp_path, "text_classification", learning_rate=2e-3)
    assert found == pytest.approx((2e-3, 2e-3), rel=0.02)
