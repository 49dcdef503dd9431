"""What every method promises, on a tiny model; a method without a row here fails the collection."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from app.core.errors import JobCancelled
from app.core.specs import MethodSpec
from tests.worker.compression import (
    STUDENT_SHAPE,
    TEACHER_SHAPE,
    Interrupted,
    MemoryContext,
    make_teacher,
    same_weights,
)
from worker import methods
from worker.contracts import Student, TaskData, Teacher
from worker.evaluation.evaluate import OnnxNetwork, predict_logits
from worker.export.onnx_export import export_onnx

SETTINGS = {
    "fine_tuning": {},
    "scratch": {},
    "weight_copy": {"distillation": {}},
    "distillation": {"distillation": {"hidden_weight": 0.5}},
    "weight_squeezing": {"distillation": {"hidden_weight": 0.5}, "dense_ratio": 0.5},
}
KEEPS_SIZE = {"fine_tuning"}

assert SETTINGS.keys() == methods.PLUGINS.keys()


def compress(name: str, folder: Path, data: TaskData, **context: object) -> tuple[Student, MemoryContext]:
    outside = context_of(name, folder, **context)
    return run(name, make_teacher(folder / "model"), data, outside), outside


def context_of(name: str, folder: Path, **options: Any) -> MemoryContext:
    """The outside of a method, with the student that is planned for it."""
    return MemoryContext(folder, shape=TEACHER_SHAPE if name in KEEPS_SIZE else STUDENT_SHAPE, **options)


def run(name: str, teacher: Teacher, data: TaskData, context: MemoryContext) -> Student:
    spec: MethodSpec = TypeAdapter(MethodSpec).validate_python({"name": name, **SETTINGS[name]})
    return methods.load(name).compress(teacher, data, spec, context)


@pytest.mark.parametrize("name", SETTINGS)
class TestEveryMethod:
    def test_student_is_a_plain_network_of_the_planned_size(self, name, tmp_path, data):
        student, context = compress(name, tmp_path, data, epochs=0.5)
        teacher = make_teacher(tmp_path / "card")
        expected = context.card.count(head=data.head).total
        assert student.network.num_parameters() == expected
        assert not student.network.training
        assert type(student.network) is type(teacher.network)
        assert all(
            type(module).__module__.startswith(("torch.nn", "transformers"))
            for module in student.network.modules()
        )

    def test_student_survives_saving_and_exporting(self, name, tmp_path, data):
        student, _ = compress(name, tmp_path, data, epochs=0.5)
        student.network.save_pretrained(tmp_path / "saved")
        loaded = type(student.network).from_pretrained(tmp_path / "saved")
        assert same_weights(student.network, loaded)
        export_onnx(student.network, tmp_path / "student.onnx")
        expected = predict_logits(student.network, data.dev, pad_id=0, device=torch.device("cpu"))
        exported = OnnxNetwork(tmp_path / "student.onnx").logits(data.dev, pad_id=0)
        assert np.abs(expected - exported).max() < 1e-5

    def test_reports_progress_to_the_end(self, name, tmp_path, data):
        student, context = compress(name, tmp_path, data)
        trained = [report for report in context.reports if "loss" in report[3]]
        assert trained[-1][1] == trained[-1][2] == student.metrics["steps"] == 16
        qualities = [report for report in context.reports if "dev_quality" in report[3]]
        assert [report[1] for report in qualities] == [6, 11, 16]

    def test_stops_when_cancelled(self, name, tmp_path, data):
        with pytest.raises(JobCancelled):
            compress(name, tmp_path, data, cancel_at=3)

    def test_same_seed_same_weights_another_seed_others(self, name, tmp_path, data):
        first, _ = compress(name, tmp_path / "a", data, epochs=0.5, seed=5)
        torch.manual_seed(99)  # what ran before must not matter
        again, _ = compress(name, tmp_path / "b", data, epochs=0.5, seed=5)
        other, _ = compress(name, tmp_path / "c", data, epochs=0.5, seed=6)
        assert same_weights(first.network, again.network)
        assert not same_weights(first.network, other.network)

    @pytest.mark.parametrize("interrupt_at", [5, 13])
    def test_resumes_to_the_same_weights(self, name, tmp_path, data, interrupt_at):
        whole, _ = compress(name, tmp_path / "whole", data)
        broken = context_of(name, tmp_path, checkpoint_every=4, interrupt_at=interrupt_at)
        with pytest.raises(Interrupted):
            run(name, make_teacher(tmp_path / "model"), data, broken)
        assert broken.checkpoint is not None
        resumed = context_of(name, tmp_path)
        resumed.checkpoint = broken.checkpoint
        student = run(name, make_teacher(tmp_path / "model"), data, resumed)
        assert same_weights(whole.network, student.network)

    def test_learns(self, name, teacher, data, tmp_path):
        context = context_of(name, tmp_path, epochs=40, learning_rate=4e-3)
        fresh = Teacher(copy.deepcopy(teacher.network), teacher.tokenizer, teacher.card, teacher.digest)
        student = run(name, fresh, data, context)
        logits = predict_logits(student.network, data.dev, pad_id=0, device=torch.device("cpu"))
        assert (logits.argmax(1) == data.dev.labels).mean() > 0.75
