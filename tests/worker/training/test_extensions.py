"""A training goes on for as long as quality on dev rises, within its bound."""

import copy

import pytest
import torch

from tests.worker.compression import Interrupted, MemoryContext, make_data, make_teacher
from worker.distillation.training_objective import label_objective
from worker.training.dev_curve import final_gain, is_worthwhile
from worker.training.student import dense_phase, train_student


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return make_teacher()


def trained(teacher, qualities, context, monkeypatch):
    """Steps by phase of a training of 8 planned steps, evaluated four times, whose dev curve is given."""
    network, data, curve = copy.deepcopy(teacher.network), make_data(train=32, dev=8), iter(qualities)
    monkeypatch.setattr("worker.training.student.dev_score", lambda *_, **__: next(curve))
    objective = label_objective(data, context)
    phases = [dense_phase(network, objective, context)]
    return train_student(network, data, phases=phases, training_objective=objective, context=context)


def context_of(folder, **options):
    return MemoryContext(folder, **({"epochs": 8, "max_epochs": 16, "evaluations": 4} | options))


@pytest.mark.parametrize(
    ("qualities", "steps"),
    [
        ([0.5, 0.7, 0.8, 0.805], 8),
        ([0.5, 0.6, 0.7, 0.8, 0.801, 0.8], 12),
        ([0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96], 16),
    ],
    ids=["flat", "one round", "up to the bound"],
)
def test_it_trains_until_dev_is_flat(teacher, tmp_path, monkeypatch, qualities, steps):
    context = context_of(tmp_path)
    student = trained(teacher, qualities, context, monkeypatch)
    assert student.metrics["steps"] == steps
    assert student.metrics["planned_steps"] == 8
    assert is_worthwhile(student.metrics["final_gain"]) == (steps == 16)
    stages = {stage: total for stage, _, total, _ in context.reports}
    assert stages == {"training": 8} | ({} if steps == 8 else {"extension": steps})


def test_no_further_than_the_client_allows(teacher, tmp_path, monkeypatch):
    context = context_of(tmp_path, max_epochs=None)
    assert trained(teacher, [0.5, 0.6, 0.7, 0.8], context, monkeypatch).metrics["steps"] == 8


@pytest.mark.parametrize("interrupt_at", [7, 10])
def test_it_goes_on_from_a_checkpoint(teacher, tmp_path, monkeypatch, interrupt_at):
    """Just before the first round, and within it."""
    qualities = [0.5, 0.6, 0.7, 0.8, 0.8, 0.8]
    whole = trained(teacher, qualities, context_of(tmp_path), monkeypatch)
    context = context_of(tmp_path, checkpoint_every=1, interrupt_at=interrupt_at)
    with pytest.raises(Interrupted):
        trained(teacher, qualities, context, monkeypatch)
    again = context_of(tmp_path)
    again.checkpoint = context.checkpoint
    done = again.checkpoint["progress"]["step"]
    student = trained(teacher, qualities[done // 2 :], again, monkeypatch)
    assert student.metrics["steps"] == whole.metrics["steps"] == 12
    expected = whole.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in student.network.state_dict().items())


def test_a_gain_is_relative_and_that_of_the_last_quarter():
    assert final_gain([0.2, 0.5, 0.8, 0.82]) == pytest.approx(0.025)
    assert final_gain([0.2, 0.9, 0.8, 0.82]) < 0
    assert final_gain([-3.0, -2.5, -2.0, -1.9]) == pytest.approx(0.05), "minus a loss"
    assert final_gain([0.4]) == 0
