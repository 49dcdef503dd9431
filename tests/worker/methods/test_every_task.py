"""Every method on every task that its architecture names: it trains, learns, saves and exports."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from app.domain.methods import METHOD_CARDS, MethodSpec
from app.domain.tasks import TASKS, Task
from tests.worker.compression import (
    STUDENT_SHAPE,
    MemoryContext,
    encoder_card,
    make_data,
    make_teacher,
    same_weights,
    saved_and_loaded,
)
from tests.worker.methods.test_contract import context_of, spec_of
from worker import methods
from worker.data.batches import subset
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.exported import ExportedEncoder
from worker.evaluation.quality import dev_score, measure
from worker.export.onnx_export import export_onnx

CPU = torch.device("cpu")
CASES = [
    (name, task)
    for name, card in METHOD_CARDS.items()
    for task in card.tasks
    if task not in ("text_classification", "translation")
]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_method_does_the_task(name: str, task: Task, tmp_path: Path) -> None:
    data, teacher = make_data(task, train=64, dev=32), make_teacher(task=task)
    context: MemoryContext = context_of(name, tmp_path, epochs=2)
    spec = spec_of(name)
    student = methods.load(spec).compress(teacher, data, spec, context)
    assert student.network.num_parameters() == context.architecture.count(head=data.head).total
    losses = [report[3]["loss"] for report in context.reports if "loss" in report[3]]
    assert np.isfinite(losses).all()
    assert np.isfinite(dev_score(student.network, data, device=CPU))

    loaded = saved_and_loaded(student.network, context.architecture, data, tmp_path / "saved")
    assert same_weights(student.network, loaded)
    export_onnx(student.network, tmp_path / "student.onnx")
    few = subset(data.dev, np.arange(16))
    expected = predict_logits(student.network, few, pad_id=0, device=CPU)
    exported = ExportedEncoder(tmp_path / "student.onnx").logits(few, pad_id=0)
    assert expected.shape == (few.position_offsets[-1], data.head.outputs)
    assert np.abs(expected - exported).max() < 1e-4


@pytest.mark.parametrize(
    "spec",
    [{"name": "weight_squeezing"}, {"name": "weight_distillation", "initial_generator": "xavier"}],
    ids=lambda spec: spec["name"],
)
def test_a_tied_word_table_is_generated_whatever_its_name(spec: dict[str, str], tmp_path: Path) -> None:
    """XLM-RoBERTa's model of masked words meets it first as its output's."""
    task: Task = "masked_language_modeling"
    data, teacher = make_data(task), make_teacher("xlm-roberta", task=task)
    architecture = encoder_card("xlm-roberta", shape=STUDENT_SHAPE)
    context = MemoryContext(tmp_path, architecture=architecture, epochs=1)
    asked: MethodSpec = TypeAdapter(MethodSpec).validate_python(spec)
    student = methods.load(asked).compress(teacher, data, asked, context)
    output, words = student.network.get_output_embeddings(), student.network.get_input_embeddings()
    assert output.weight is words.weight
    losses = [report[3]["loss"] for report in context.reports if "loss" in report[3]]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize(
    ("task", "reached"),
    [("text_regression", 0.6), ("token_classification", 0.9), ("masked_language_modeling", -3.6)],
)
def test_networks_learn_the_task(task: Task, reached: float, tmp_path: Path) -> None:
    """By the main metric; of words, which are drawn at random, by the loss: it starts above 5."""
    data, teacher = make_data(task), make_teacher(task=task)
    context = context_of("fine_tuning", tmp_path, epochs=7, learning_rate=6e-3)
    spec: MethodSpec = TypeAdapter(MethodSpec).validate_python({"name": "fine_tuning"})
    student = methods.load(spec).compress(teacher, data, spec, context)
    found = measure(student.network, data.dev, data, device=CPU)
    assert (-found["loss"] if "loss" in found else found[TASKS[task].main_metric]) > reached
