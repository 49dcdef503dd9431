"""What every method promises, on a tiny model; each that is registered, on its own."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from app.domain.architectures import AnyShape, BiLstmShape, EncoderShape, StaticShape, TfidfShape
from app.domain.errors import JobCancelled
from app.domain.methods import METHOD_CARDS, METHOD_SPECS, MethodSpec
from app.domain.planning.search_space import student_architecture
from app.domain.tasks import TASKS
from tests.worker.compression import (
    DIMENSIONS,
    STUDENT_SHAPE,
    TEACHER_SHAPE,
    Interrupted,
    MemoryContext,
    encoder_card,
    make_data,
    make_teacher,
    same_weights,
    saved_and_loaded,
)
from worker import methods
from worker.contracts import Student, TaskData, Teacher
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.exported import ExportedEncoder
from worker.evaluation.quality import measure
from worker.export.onnx_export import export_onnx
from worker.networks.anatomy import network_class

CPU = torch.device("cpu")
SETTINGS: dict[str, dict[str, Any]] = {
    "weight_copy": {"distillation": {}},
    "weight_selection": {"distillation": {}},
    "distillation": {
        "distillation": {"hidden_weight": 0.5, "patient_weight": 10, "relation_weight": 1},
        "initialisation": "weight_selection",
    },
    "low_rank": {"factorisation": "fisher", "distillation": {}},
    # A third of the steps, so that its phases end where there are evaluations.
    "pea_kd": {"pretraining_ratio": 1 / 3},
    "weight_squeezing": {"distillation": {"hidden_weight": 0.5}, "dense_ratio": 0.5},
    "weight_distillation": {"distillation": {"hidden_weight": 0.5}},
    "weight_inherited": {"distillation": {}, "prune_ratio": 0.4, "dense_ratio": 0.25},
}
"""For the contract to say more than it does with the defaults."""

LEARNT = {"text_classification": 0.75, "sentence_embedding": 0.5}
"""By the main metric."""

EVALUATED_AT = {"bilstm": [2, 3, 4, 6, 7, 8, 12]}
"""Of methods whose phases end where they did best."""


Compressed = Callable[..., tuple[Student, MemoryContext]]


def compress(name: str, folder: Path, data: TaskData, **context: object) -> tuple[Student, MemoryContext]:
    outside = context_of(name, folder, **context)
    return run(name, make_teacher(task=data.task), data, outside), outside


@cache
def data_of(name: str) -> TaskData:
    """Labelled texts, or those of the task that the method is for."""
    tasks = METHOD_CARDS[name].tasks
    return make_data("text_classification" if "text_classification" in tasks else tasks[0])


@pytest.fixture
def data(name: str) -> TaskData:
    return data_of(name)


def context_of(name: str, folder: Path, **options: Any) -> MemoryContext:
    """The outside of a method, with the student that is planned for it."""
    teacher, spec = encoder_card(shape=TEACHER_SHAPE), spec_of(name)
    architecture = student_architecture(teacher, spec, student_shape(spec))
    return MemoryContext(folder, architecture=architecture, **{"epochs": 1.5, **options})


def spec_of(name: str) -> MethodSpec:
    spec: MethodSpec = TypeAdapter(MethodSpec).validate_python({"name": name, **SETTINGS.get(name, {})})
    return spec


def student_shape(spec: MethodSpec) -> AnyShape:
    """A small one that keeps what the method keeps."""
    if spec.card.keeps_size:
        return TEACHER_SHAPE
    if spec.students[0] == "static":
        return StaticShape(dimensions=DIMENSIONS)
    if spec.students[0] == "bilstm":
        return BiLstmShape(embedding=8, hidden=8, projection=TEACHER_SHAPE.hidden)
    if spec.students[0] == "tfidf":
        return TfidfShape(terms=64)
    kept = {name: getattr(TEACHER_SHAPE, name) for name in spec.keeps if name in EncoderShape.model_fields}
    return STUDENT_SHAPE.model_copy(update=kept | ({"rank": 6} if spec.factorises else {}))


def run(name: str, teacher: Teacher, data: TaskData, context: MemoryContext) -> Student:
    spec = spec_of(name)
    return methods.load(spec).compress(teacher, data, spec, context)


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    """Runs of methods that several tests look at, each made once; nobody changes a student."""

    @cache
    def compressed(name: str, **context: object) -> tuple[Student, MemoryContext]:
        return compress(name, tmp_path_factory.mktemp(name), data_of(name), **context)

    return compressed


@pytest.mark.parametrize("name", METHOD_SPECS)
class TestEveryMethod:
    def test_student_is_a_plain_network_of_the_planned_size(self, name, data, compressed):
        student, context = compressed(name, epochs=0.5)
        expected = context.architecture.count(head=data.head).total
        assert student.network.num_parameters() == expected
        assert not student.network.training
        assert type(student.network) is network_class(context.architecture, data.task)
        below = [module for module in student.network.modules() if module is not student.network]
        assert all(type(module).__module__.startswith(("torch.nn", "transformers")) for module in below)

    def test_student_survives_saving_and_exporting(self, name, tmp_path, data, compressed):
        student, context = compressed(name, epochs=0.5)
        loaded = saved_and_loaded(student.network, context.architecture, data, tmp_path / "saved")
        assert same_weights(student.network, loaded)
        export_onnx(student.network, tmp_path / "student.onnx")
        expected = predict_logits(student.network, data.dev, pad_id=0, device=torch.device("cpu"))
        exported = ExportedEncoder(tmp_path / "student.onnx").logits(data.dev, pad_id=0)
        assert np.abs(expected - exported).max() < 1e-5

    def test_learns(self, name, teacher, data, tmp_path):
        context = context_of(name, tmp_path, epochs=7, learning_rate=6e-3)
        if TASKS[data.task].answers_in_vectors:
            fresh = make_teacher(task=data.task)
            vectors = predict_logits(fresh.network, data.dev, pad_id=0, device=CPU)
            data = replace(data, dev=replace(data.dev, labels=None, groups=None, teacher_vectors=vectors))
        else:
            fresh = replace(teacher, network=copy.deepcopy(teacher.network))
        student = run(name, fresh, data, context)
        assert (
            measure(student.network, data.dev, data, device=CPU)[TASKS[data.task].main_metric]
            > LEARNT[data.task]
        )


@pytest.mark.parametrize("name", [name for name, spec in METHOD_SPECS.items() if spec.trains_in_steps])
class TestEveryMethodThatTrainsInSteps:
    def test_reports_progress_to_the_end(self, name, compressed):
        student, context = compressed(name)
        trained = [report for report in context.reports if "loss" in report[3]]
        assert trained[-1][1] == trained[-1][2] == student.metrics["steps"] == 12
        qualities = [
            report for report in context.reports if {"dev_quality", "phase_quality"} & report[3].keys()
        ]
        assert [report[1] for report in qualities] == EVALUATED_AT.get(name, [4, 8, 12])

    def test_stops_when_cancelled(self, name, tmp_path, data):
        with pytest.raises(JobCancelled):
            compress(name, tmp_path, data, cancel_at=3)

    def test_same_seed_same_weights_another_seed_others(self, name, tmp_path, data, compressed):
        first, _ = compressed(name, epochs=0.5)
        torch.manual_seed(99)  # what ran before must not matter
        again, _ = compress(name, tmp_path / "again", data, epochs=0.5)
        other, _ = compress(name, tmp_path / "other", data, epochs=0.5, seed=6)
        assert same_weights(first.network, again.network)
        assert not same_weights(first.network, other.network)

    @pytest.mark.parametrize("interrupt_at", [5, 9])
    def test_resumes_to_the_same_weights(self, name, tmp_path, data, interrupt_at, compressed):
        whole, _ = compressed(name)
        broken = context_of(name, tmp_path, checkpoint_every=2, interrupt_at=interrupt_at)
        with pytest.raises(Interrupted):
            run(name, make_teacher(task=data.task), data, broken)
        assert broken.checkpoint is not None
        resumed = context_of(name, tmp_path)
        resumed.checkpoint = broken.checkpoint
        student = run(name, make_teacher(task=data.task), data, resumed)
        assert same_weights(whole.network, student.network)
