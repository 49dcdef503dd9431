"""What is planned for the control: terms instead of layers, with or without a teacher."""

import pytest

from app.domain.architectures import TfidfArchitecture, TfidfShape
from app.domain.documents import Target, TrainingSpec
from app.domain.errors import InvalidRequest
from app.domain.methods import METHOD_SPECS
from app.domain.planning import estimate, plan_student
from app.domain.planning.workload import TypicalRow, Workload
from tests.domain.planning.teachers import CLASSES, MINILM, method

TFIDF = method("tfidf")


@pytest.mark.parametrize("teacher", [MINILM, None])
def test_the_most_terms_within_a_size(teacher):
    plan = plan_student(teacher, TFIDF, Target(max_parameters=200_000), head=CLASSES)
    outputs = CLASSES.outputs
    assert plan.shape == TfidfShape(terms=50_000)
    assert plan.parameters.total == 50_000 * (1 + outputs) + outputs
    assert plan.architecture.vocabulary == (8000 if teacher is None else MINILM.vocabulary)


def test_a_shape_and_a_vocabulary_of_its_own():
    target = Target(shape=TfidfShape(terms=300), vocabulary_size=1000)
    plan = plan_student(None, TFIDF, target, head=CLASSES)
    assert (plan.shape.terms, plan.architecture.vocabulary) == (300, 1000)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (Target(compression_ratio=2), "shape_required"),
        (Target(max_parameters=100), "target_too_small"),
        (Target(max_parameters=100_000, embedding_size=8), "target_not_allowed"),
    ],
)
def test_targets_that_it_cannot_have_without_a_teacher(target, code):
    with pytest.raises(InvalidRequest) as caught:
        plan_student(None, TFIDF, target, head=CLASSES)
    assert caught.value.code == code


@pytest.mark.parametrize("name", [name for name, spec in METHOD_SPECS.items() if not spec.card.keeps_size])
def test_nothing_is_made_of_one(name):
    teacher = TfidfArchitecture(shape=TfidfShape(terms=500_000), vocabulary=30_522, positions=512)
    with pytest.raises(InvalidRequest, match="TF-IDF") as caught:
        plan_student(teacher, method(name), Target(compression_ratio=2), head=CLASSES)
    assert caught.value.code == "incompatible_teacher"


def test_it_takes_no_steps():
    student = plan_student(MINILM, TFIDF, Target(compression_ratio=100), head=CLASSES).architecture
    job = Workload(
        student=student,
        method=TFIDF,
        head=CLASSES,
        rows=100_000,
        row=TypicalRow(tokens=30),
        training=TrainingSpec(epochs=3),
        given=MINILM,
        dev=1000,
    )
    cost = estimate(job)
    assert (cost.steps, cost.max_steps) == (1, 1)
    [fitting] = [stage for stage in cost.stages if stage.stage == "training"]
    assert (fitting.steps, 5 < fitting.seconds < 100) == (1, True)
