"""What could be done about the words."""

import pytest

from app.domain.architectures import EncoderShape
from app.domain.documents import Target
from app.domain.planning import plan_student
from app.domain.planning.advice import total
from tests.domain.planning.teachers import CLASSES, MARIAN, MINILM, TRANSLATION, able, method

BUDGET = Target(compression_ratio=4)
ALL_WORDS = BUDGET.model_copy(update={"vocabulary_size": MINILM.vocabulary})


@pytest.mark.parametrize("name", [name for name in able(CLASSES) if name != "tfidf"])
def test_what_is_promised_comes_true(name):
    """Each piece of advice, taken, leads to the shape it names, and what it frees is counted."""
    target = Target(max_parameters=15_000_000, vocabulary_size=MINILM.vocabulary)
    plan = plan_student(MINILM, method(name), target, head=CLASSES)
    assert "vocabulary_size" in {advice.about for advice in plan.advice}
    for advice in plan.advice:
        followed = target.model_copy(update={advice.about: advice.value})
        better = plan_student(MINILM, method(name), followed, head=CLASSES)
        if advice.shape is None:
            assert better.parameters.body <= plan.parameters.body
        else:
            assert better.shape == advice.shape
            assert better.parameters.body > plan.parameters.body
        change = {"vocabulary": advice.value}
        if advice.about == "embedding_size":
            change = {"shape": plan.shape.model_copy(update={"embedding": advice.value})}
        lighter = total(plan.architecture.model_copy(update=change), CLASSES)
        assert advice.freed_parameters == plan.parameters.total - lighter > 0
        assert f"{advice.freed_parameters:,}" in advice.message


def test_the_share_is_said():
    plan = plan_student(MINILM, method("weight_distillation"), ALL_WORDS, head=CLASSES)
    share = plan.parameters.embeddings / plan.parameters.total
    assert all(f"{share:.0%}" in advice.message for advice in plan.advice)
    assert {advice.about: advice.value for advice in plan.advice}["vocabulary_size"] == 8000


def test_a_shape_stays_what_it_is():
    target = Target(shape=EncoderShape(layers=3, hidden=192, heads=6, ffn=768))
    plan = plan_student(MINILM, method("weight_copy"), target, head=CLASSES)
    assert {advice.about: advice.value for advice in plan.advice} == {
        "vocabulary_size": 8000,
        "embedding_size": 64,
    }
    assert all(advice.shape is None for advice in plan.advice)


def test_what_was_done_is_not_advised():
    target = BUDGET.model_copy(update={"vocabulary_size": 2000, "embedding_size": 64})
    plan = plan_student(MINILM, method("weight_copy"), target, head=CLASSES)
    assert plan.advice == []


def test_no_factorised_table_for_a_translator():
    plan = plan_student(MARIAN, method("distillation"), Target(compression_ratio=10), head=TRANSLATION)
    assert [advice.about for advice in plan.advice] == ["vocabulary_size"]


def test_nothing_that_the_method_cannot_do():
    plan = plan_student(MINILM, method("weight_distillation"), ALL_WORDS, head=CLASSES)
    assert [advice.about for advice in plan.advice] == ["vocabulary_size"]
