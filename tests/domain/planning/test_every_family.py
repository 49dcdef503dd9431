"""Plans for teachers of every kind of encoder: their embeddings, and what methods do not support."""

import pytest

from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.documents import Target
from app.domain.errors import InvalidRequest
from app.domain.methods import METHOD_SPECS
from app.domain.planning import plan_student
from app.domain.planning.advice import total
from tests.domain.planning.teachers import CLASSES, able, method
from tests.families import EACH_TRAITS, FAMILY_ROWS, traits_of

BUDGET = Target(compression_ratio=1.5)
WIDE = EncoderShape(layers=2, hidden=192, heads=3, ffn=768)
NARROW = EncoderShape(layers=2, hidden=64, heads=1, ffn=256)

each_family = pytest.mark.parametrize("family", EACH_TRAITS)
each_method = pytest.mark.parametrize("name", able(CLASSES))


def teacher_of(family: str) -> EncoderArchitecture:
    """A deep one, whose embeddings are narrow where its family's may be."""
    embedding = 128 if "projected_embeddings" in traits_of(family) else None
    return EncoderArchitecture(
        family=family,
        shape=EncoderShape(layers=12, hidden=512, heads=8, ffn=2048, embedding=embedding),
        vocabulary=30_522,
        positions=512,
        token_types=FAMILY_ROWS[family].token_types,
        details=FAMILY_ROWS[family].details,
    )


def unsupported(family: str, name: str) -> list[str]:
    spec = METHOD_SPECS[name].model_validate({"name": name})
    return [reason for trait, reason in spec.unsupported_traits.items() if trait in traits_of(family)]


@each_family
@each_method
def test_a_budget_is_kept_or_the_method_says_why_it_cannot(family: str, name: str) -> None:
    teacher = teacher_of(family)
    reasons = unsupported(family, name)
    if reasons:
        with pytest.raises(InvalidRequest, match=reasons[0]) as caught:
            plan_student(teacher, method(name), BUDGET, head=CLASSES)
        assert (caught.value.code, caught.value.pointer) == ("incompatible_teacher", "#/teacher")
        return
    plan = plan_student(teacher, method(name), BUDGET, head=CLASSES)
    assert plan.parameters.total <= total(teacher, CLASSES) / 1.5
    student = plan.architecture
    if isinstance(student, EncoderArchitecture):
        assert student.family == family
        if METHOD_SPECS[name].model_validate({"name": name}).reads_weights:
            assert student.projects == teacher.projects
            assert not teacher.projects or student.shape.embedding == 128


@each_family
@pytest.mark.parametrize("name", ["weight_copy", "scratch"])
def test_a_shape_has_the_teachers_embedding_unless_it_says_another(family: str, name: str) -> None:
    teacher, own = teacher_of(family), teacher_of(family).shape.embedding
    plan = plan_student(teacher, method(name), Target(shape=WIDE), head=CLASSES)
    assert plan.architecture.shape == WIDE.model_copy(update={"embedding": own})
    again = plan_student(teacher, method(name), Target(shape=plan.architecture.shape), head=CLASSES)
    assert again.architecture == plan.architecture


@each_family
@pytest.mark.parametrize("name", ["weight_copy", "scratch"])
def test_heads_that_are_turned_in_pairs_have_an_even_size(family: str, name: str) -> None:
    teacher = teacher_of(family)
    odd = Target(shape=EncoderShape(layers=2, hidden=189, heads=7, ffn=768))
    if "rotary_positions" not in teacher.traits:
        assert plan_student(teacher, method(name), odd, head=CLASSES)
        return
    with pytest.raises(InvalidRequest, match="is 27; the rotary positions") as caught:
        plan_student(teacher, method(name), odd, head=CLASSES)
    assert caught.value.pointer == "#/target/shape/heads"


@each_family
def test_weights_are_read_where_the_embedding_size_is_kept(family: str) -> None:
    teacher = teacher_of(family)
    smaller = (Target(compression_ratio=2, embedding_size=64), Target(shape=WIDE, embedding_size=64))
    for target in smaller:
        assert (
            plan_student(teacher, method("scratch"), target, head=CLASSES).architecture.shape.embedding == 64
        )
        if not teacher.projects:
            assert plan_student(teacher, method("weight_copy"), target, head=CLASSES)
            continue
        with pytest.raises(InvalidRequest, match="which is 128") as caught:
            plan_student(teacher, method("weight_copy"), target, head=CLASSES)
        assert caught.value.pointer == "#/target/embedding_size"
    if teacher.projects:
        assert plan_student(teacher, method("scratch"), Target(shape=NARROW), head=CLASSES)
        with pytest.raises(InvalidRequest, match="hidden must be above 128") as caught:
            plan_student(teacher, method("weight_copy"), Target(shape=NARROW), head=CLASSES)
        assert caught.value.pointer == "#/target/shape/hidden"


@each_family
def test_advice_is_none_that_the_method_would_refuse(family: str) -> None:
    teacher = teacher_of(family)
    whole = teacher.at(teacher.shape.model_copy(update={"embedding": None}))
    teacher = (
        teacher if whole.projects else whole
    )  # with embeddings as wide as its layers, if it may have them
    plan = plan_student(teacher, method("weight_copy"), BUDGET, head=CLASSES)
    for advice in plan.advice:
        asked = BUDGET.model_copy(update={advice.about: advice.value})
        plan_student(teacher, method("weight_copy"), asked, head=CLASSES)
