"""The first model of a data set, which has no teacher."""

import pytest

from app.domain.architectures import EncoderDecoderShape, EncoderShape
from app.domain.documents import Target
from app.domain.errors import InvalidRequest
from app.domain.planning import plan_student
from app.domain.planning.search_space import family
from tests.domain.planning.teachers import (
    CLASSES,
    MINILM,
    TRANSLATION,
    able,
    method,
)


def starts_alone(name: str) -> bool:
    return TRANSLATION.task in method(name).tasks_without_teacher


class TestFirstModel:
    SHAPE = EncoderDecoderShape(encoder_layers=2, decoder_layers=1, hidden=64, heads=2, ffn=128)

    def test_the_shape_and_a_vocabulary(self):
        plan = plan_student(None, method("scratch"), Target(shape=self.SHAPE), head=TRANSLATION)
        assert (plan.shape, plan.architecture.vocabulary, plan.compression_ratio) == (self.SHAPE, 8000, None)
        assert plan.parameters.embeddings == 8000 * 64
        target = Target(shape=self.SHAPE, vocabulary_size=2000)
        assert plan_student(None, method("scratch"), target, head=TRANSLATION).architecture.vocabulary == 2000

    def test_a_vocabulary_below_the_bytes(self):
        target = Target(shape=self.SHAPE, vocabulary_size=258)
        with pytest.raises(InvalidRequest) as caught:
            plan_student(None, method("scratch"), target, head=TRANSLATION)
        assert (caught.value.code, caught.value.pointer) == (
            "vocabulary_too_small",
            "#/target/vocabulary_size",
        )
        assert caught.value.details["smallest"] == 259
        plan_student(None, method("scratch"), Target(shape=self.SHAPE, vocabulary_size=259), head=TRANSLATION)

    def test_no_factorised_table(self):
        target = Target(shape=self.SHAPE, embedding_size=32)
        with pytest.raises(InvalidRequest, match="cannot be factorised"):
            plan_student(None, method("scratch"), target, head=TRANSLATION)

    @pytest.mark.parametrize("name", [name for name in able(TRANSLATION) if not starts_alone(name)])
    def test_other_methods_need_a_teacher(self, name):
        with pytest.raises(InvalidRequest) as caught:
            plan_student(None, method(name), Target(shape=self.SHAPE), head=TRANSLATION)
        assert (caught.value.code, caught.value.pointer) == ("teacher_required", "#/teacher")

    @pytest.mark.parametrize(
        "target",
        [
            None,
            Target(compression_ratio=2),
            Target(shape=EncoderShape(layers=2, hidden=64, heads=2, ffn=128)),
        ],
    )
    def test_a_shape_is_needed(self, target):
        with pytest.raises(InvalidRequest) as caught:
            plan_student(None, method("scratch"), target, head=TRANSLATION)
        assert caught.value.code == "shape_required"


def test_no_target_keeps_the_model_as_it_is():
    architecture = next(iter(family(MINILM, method("pea_kd"), embedding=None)))
    plan = plan_student(architecture, method("fine_tuning"), None, head=CLASSES)
    assert (plan.architecture, plan.compression_ratio) == (architecture, 1)
