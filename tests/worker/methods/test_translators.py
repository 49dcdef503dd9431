"""Methods that make students of translation models."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from app.domain.architectures import EncoderDecoderShape
from app.domain.errors import JobCancelled
from app.domain.methods import MethodSpec
from tests.worker.compression import Interrupted, MemoryContext, same_weights
from tests.worker.translations import (
    NARROW,
    SHALLOW,
    SMALL,
    TEACHER,
    make_translator,
    tokenizer,
    translation_card,
    translation_data,
)
from worker import methods
from worker.contracts import Student, TaskData, Teacher
from worker.data.batches import subset
from worker.evaluation.quality import measure
from worker.evaluation.translation import TorchTranslator, texts_of, translate
from worker.export.exports import (
    check_exports,
    compare_exports,
    make_exports,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> TaskData:
    return translation_data()


STUDENTS = {
    "fine_tuning": TEACHER,
    "scratch": NARROW,
    "weight_copy": SMALL,
    "weight_selection": SHALLOW,
    "distillation": SHALLOW,
    "weight_distillation": NARROW,
}


SETTINGS = {"weight_copy": {"distillation": {}}}


def compress(
    name: str, folder: Path, data: TaskData, teacher: Teacher | None = None, **options: object
) -> Student:
    return run(
        name, data, MemoryContext(folder, architecture=translation_card(STUDENTS[name]), **options), teacher
    )


def run(name: str, data: TaskData, context: MemoryContext, teacher: Teacher | None = None) -> Student:
    spec: MethodSpec = TypeAdapter(MethodSpec).validate_python({"name": name, **SETTINGS.get(name, {})})
    return methods.load(spec).compress(teacher or make_translator(), data, spec, context)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs find what the same teacher has written for others."""
    return tmp_path_factory.mktemp("methods")


@pytest.mark.parametrize("name", STUDENTS)
class TestEveryMethod:
    def test_student_is_of_the_planned_size_and_exports(
        self, name: str, data: TaskData, folder: Path, tmp_path: Path
    ) -> None:
        student = compress(name, folder, data, epochs=0.25, evaluations=1)
        planned = translation_card(STUDENTS[name]).count(head=data.head).total
        assert student.network.num_parameters(only_trainable=True) == planned
        assert not student.network.training
        paths = make_exports(student.network, ["fp32"], tmp_path / "exports")
        check_exports(
            compare_exports(student.network, paths, data), onnx_tolerance=1e-4, int8_min_agreement=0.9
        )

    def test_same_seed_same_weights_and_another_seed_others(
        self, name: str, data: TaskData, folder: Path
    ) -> None:
        one, same, other = (
            compress(name, folder, data, epochs=0.25, evaluations=1, seed=seed) for seed in (5, 5, 6)
        )
        assert same_weights(one.network, same.network)
        assert not same_weights(one.network, other.network)

    def test_resumes_to_the_same_weights(self, name: str, data: TaskData, folder: Path) -> None:
        whole = compress(name, folder, data, epochs=1, evaluations=2)
        architecture = translation_card(STUDENTS[name])
        broken = MemoryContext(
            folder, architecture=architecture, epochs=1, evaluations=2, checkpoint_every=2, interrupt_at=5
        )
        with pytest.raises(Interrupted):
            run(name, data, broken)
        resumed = MemoryContext(folder, architecture=architecture, epochs=1, evaluations=2)
        resumed.checkpoint = broken.checkpoint
        assert same_weights(whole.network, run(name, data, resumed).network)

    def test_stops_when_cancelled(self, name: str, data: TaskData, folder: Path) -> None:
        with pytest.raises(JobCancelled):
            compress(name, folder, data, cancel_at=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Teacher, TaskData]:
    """A teacher that knows the language, trained from nothing."""
    data = translation_data(train=1024)
    context = MemoryContext(
        tmp_path_factory.mktemp("teacher"),
        architecture=translation_card(),
        epochs=14,
        batch_size=64,
        learning_rate=8e-3,
        evaluations=4,
    )
    student = run("scratch", data, context, make_translator(spread=0))
    teacher = Teacher(
        student.network, tokenizer(), translation_card(), digest="trained", target_tokenizer=None
    )
    return teacher, data


class TestLearning:
    def test_scratch_learns_to_translate(self, trained: tuple[Teacher, TaskData]) -> None:
        teacher, data = trained
        found = measure(teacher.network, data.dev, data, device=CPU)
        assert found["bleu"] > 60
        some = subset(data.dev, np.arange(4))
        written = translate(TorchTranslator(teacher.network), some, pad_id=data.pad_id)
        assert texts_of(written, tokenizer())[0].endswith(".")

    def test_one_decoder_layer_on_a_deep_encoder_learns_from_random_weights(self, tmp_path: Path) -> None:
        shape = EncoderDecoderShape(encoder_layers=6, decoder_layers=1, hidden=32, heads=4, ffn=64)
        data = translation_data(train=1024)
        context = MemoryContext(
            tmp_path,
            architecture=translation_card(shape),
            epochs=12,
            batch_size=64,
            learning_rate=4e-3,
            evaluations=2,
        )
        student = run("scratch", data, context, make_translator(shape, spread=0))
        # Drawn as transformers draws it, it has 4 here, and 7 after twice the steps.
        assert measure(student.network, data.dev, data, device=CPU)["bleu"] > 30

    def test_a_student_of_the_teacher_learns_more_than_one_alone(
        self, trained: tuple[Teacher, TaskData], tmp_path: Path
    ) -> None:
        teacher, data = trained
        few = replace(data, train=subset(data.train, np.arange(256)))
        architecture = translation_card(SHALLOW)
        losses = {
            name: measure(
                run(
                    name,
                    few,
                    MemoryContext(tmp_path, architecture=architecture, epochs=8),
                    copy.deepcopy(teacher),
                ).network,
                few.dev,
                few,
                device=CPU,
            )["loss"]
            for name in ("scratch", "weight_distillation")
        }
        assert losses["weight_distillation"] < losses["scratch"] / 2
