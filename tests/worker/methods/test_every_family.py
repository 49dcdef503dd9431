"""Methods on every kind of encoder: what they make and copy, and what they refuse with which reason."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.errors import InvalidRequest
from app.domain.methods import METHOD_SPECS, MethodSpec
from app.domain.planning.constraints import require_teacher
from app.domain.planning.search_space import student_architecture
from app.domain.tasks import Task
from tests.families import EACH_TRAITS, narrow_as
from tests.worker.compression import (
    STUDENT_SHAPE,
    TEACHER_SHAPE,
    MemoryContext,
    make_data,
    make_teacher,
    same_weights,
    saved_and_loaded,
)
from tests.worker.methods.test_contract import run, spec_of, student_shape
from worker.contracts import TaskData, Teacher
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.exported import ExportedEncoder
from worker.export.onnx_export import export_onnx
from worker.networks.loading import build_network
from worker.networks.views import EncoderView, encoder_view
from worker.transfer.initialisation import calibration_batches
from worker.transfer.selection import Selection, select
from worker.transfer.subcloning import subclone

CPU = torch.device("cpu")
TASKS: list[Task] = ["text_classification", "masked_language_modeling"]


def teacher_of(family: str, folder: Path, task: Task = "text_classification") -> Teacher:
    return make_teacher(family, narrow_as(family, TEACHER_SHAPE), task)


def planned(teacher: Teacher, spec: MethodSpec) -> EncoderArchitecture:
    """The student that the contract of methods asks for, with the teacher's embedding size."""
    shape = student_shape(spec)
    if isinstance(shape, EncoderShape):
        shape = narrow_as(teacher.architecture.family, shape)
    return student_architecture(teacher.architecture, spec, shape)


@pytest.mark.parametrize("family", EACH_TRAITS)
@pytest.mark.parametrize("name", METHOD_SPECS)
def test_a_method_makes_a_student_or_says_why_not(family: str, name: str, tmp_path: Path) -> None:
    spec = spec_of(name)
    task = next(task for task in (*TASKS, "sentence_embedding") if task in spec.card.tasks)
    teacher = teacher_of(family, tmp_path, task)
    reasons = [
        reason for trait, reason in spec.unsupported_traits.items() if trait in teacher.architecture.traits
    ]
    if reasons:
        with pytest.raises(InvalidRequest, match=reasons[0]) as caught:
            require_teacher(teacher.architecture, spec)
        assert (caught.value.code, caught.value.pointer) == ("incompatible_teacher", "#/teacher")
        return
    require_teacher(teacher.architecture, spec)
    if not teacher.architecture.traits:
        return  # the contract of methods has it
    check_student(name, teacher, make_data(task, train=64, dev=16), tmp_path)


@pytest.mark.parametrize("family", EACH_TRAITS)
@pytest.mark.parametrize("name", ["weight_copy", "weight_squeezing", "weight_distillation"])
def test_a_masked_language_model_stays_tied_to_its_words(family: str, name: str, tmp_path: Path) -> None:
    task: Task = "masked_language_modeling"
    teacher, spec = teacher_of(family, tmp_path, task), spec_of(name)
    if not spec.unsupported_traits.keys() & teacher.architecture.traits:
        check_student(name, teacher, make_data(task, train=64, dev=16), tmp_path)


def check_student(name: str, teacher: Teacher, data: TaskData, folder: Path) -> None:
    """Its size is as planned; stored and exported it says the same."""
    architecture = planned(teacher, spec_of(name))
    context = MemoryContext(folder, architecture=architecture, epochs=0.5)
    network = run(name, teacher, data, context).network
    assert network.num_parameters() == architecture.count(head=data.head).total
    assert same_weights(network, saved_and_loaded(network, architecture, data, folder / "saved"))
    export_onnx(network, folder / "student.onnx")
    exported = ExportedEncoder(folder / "student.onnx").logits(data.dev, pad_id=0)
    assert np.abs(predict_logits(network, data.dev, pad_id=0, device=CPU) - exported).max() < 1e-5


def copied(
    teacher: Teacher, shape: EncoderShape, data: TaskData
) -> tuple[EncoderView, EncoderView, Selection]:
    """The teacher, a student sub-cloned of it, and what was selected."""
    architecture = teacher.architecture
    assert isinstance(architecture, EncoderArchitecture)
    shape = narrow_as(architecture.family, shape)
    view = encoder_view(teacher.network, architecture)
    network = build_network(teacher.network.config, architecture.at(shape), data.head)
    student = encoder_view(network, architecture.at(shape))
    batches = calibration_batches(data, device=CPU)
    [selection] = select(view, batches, student=shape, layer_map="uniform")
    subclone(view, student, [selection])
    return view, student, selection


@pytest.mark.parametrize("family", EACH_TRAITS)
@pytest.mark.parametrize("task", TASKS)
def test_a_copy_of_the_teachers_own_shape_is_the_teacher(family: str, task: Task, tmp_path: Path) -> None:
    teacher, data = teacher_of(family, tmp_path, task), make_data(task, train=64, dev=16)
    _, student, _ = copied(teacher, TEACHER_SHAPE, data)
    ours, theirs = (
        predict_logits(network, data.dev, pad_id=0, device=CPU)
        for network in (student.network, teacher.network)
    )
    assert np.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("family", EACH_TRAITS)
def test_what_layers_share_is_selected_once(family: str, tmp_path: Path) -> None:
    """The same heads where they share a bias of distances, the same of all where they are one layer."""
    data = make_data(train=64, dev=16)
    teacher, student, selection = copied(teacher_of(family, tmp_path), STUDENT_SHAPE, data)
    if teacher.relative_bias is not None:
        assert student.relative_bias is not None
        kept = teacher.relative_bias.weight[:, selection.heads[0]]
        assert torch.equal(student.relative_bias.weight, kept)
        assert all(torch.equal(heads, selection.heads[0]) for heads in selection.heads)
    if teacher.shares_layers:
        for kept_by_layer in (selection.heads, selection.head_dims, selection.neurons):
            assert all(torch.equal(kept, kept_by_layer[0]) for kept in kept_by_layer)
    if teacher.projection is not None:
        assert torch.equal(student.embeddings.words.weight, teacher.embeddings.words.weight)
        assert torch.equal(student.embedding_norm.weight, teacher.embedding_norm.weight)
