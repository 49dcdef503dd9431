"""What methods say of themselves is complete and fits together."""

from typing import get_args

import pytest

from app.domain.architectures import Architecture, BiLstmArchitecture, BiLstmShape, EncoderShape
from app.domain.errors import InvalidRequest
from app.domain.methods import METHOD_SPECS, TEACHER, DistillationSpec, MethodSpec
from app.domain.methods.spec import Dimension, StudentKind
from app.domain.planning.constraints import require_fitting
from app.domain.planning.search_space import family, student_architecture
from app.domain.tasks import Head
from tests.domain.planning.teachers import CLASSES, MARIAN, MINILM, TRANSLATION, method

SMALL = "mdl_" + "0" * 26
VARIANTS = [
    method("distillation", initialisation="weight_copy"),
    method("distillation", distillation={"hidden_weight": 1}),
    method("weight_inherited", strategy="dim"),
    method("weight_squeezing", gate={"small_model": SMALL}),
    method("bilstm", teacher_layer=3),
]
SPECS = [method(name) for name in METHOD_SPECS] + VARIANTS

each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


@each_spec
def test_traits_are_of_what_planning_knows(spec: MethodSpec) -> None:
    assert spec.card.tasks
    assert spec.students
    assert set(spec.students) <= set(get_args(StudentKind))
    assert set(spec.keeps) <= set(get_args(Dimension))
    assert set(spec.tasks_without_teacher) <= set(spec.card.tasks)
    assert set(spec.named_layers) <= set(type(spec).model_fields)
    assert spec.qualified_name.startswith(spec.name)
    assert spec.extra_parameters(MINILM.shape) >= 0


@each_spec
def test_inputs_have_roles_of_their_own(spec: MethodSpec) -> None:
    roles = [given.role for given in spec.inputs]
    assert len({TEACHER, *roles}) == 1 + len(roles)
    assert all(given.pointer.startswith("#/method/") for given in spec.inputs)
    assert spec.shape_role is None or spec.shape_role in roles


@each_spec
def test_distillation_terms_are_asked_of_whoever_has_them(spec: MethodSpec) -> None:
    given = {"distillation"} & set(type(spec).model_fields)
    if given:
        taught = method(spec.name, distillation={"temperature": 3})
        assert taught.distillation_terms is not None
        assert taught.distillation_terms.temperature == 3
        assert taught.learns_from_outputs
    else:
        assert spec.distillation_terms is None


@each_spec
@pytest.mark.parametrize(
    ("teacher", "head"), [(MINILM, CLASSES), (MARIAN, TRANSLATION)], ids=["bert", "marian"]
)
def test_what_a_budget_chooses_among_is_what_a_client_may_ask_for(
    spec: MethodSpec, teacher: Architecture, head: Head
) -> None:
    if head.task not in spec.card.tasks:
        return
    students = list(family(teacher, spec, embedding=None))
    assert students
    for student in students:
        require_fitting(teacher.shape, spec, student.shape, head=head)


@each_spec
def test_bilstms_are_made_by_whoever_says_so(spec: MethodSpec) -> None:
    shape = BiLstmShape(embedding=50, hidden=100, projection=MINILM.shape.hidden)
    if "bilstm" in spec.students:
        assert student_architecture(MINILM, spec, shape).shape == shape
    else:
        with pytest.raises(InvalidRequest):
            student_architecture(MINILM, spec, shape)


def test_what_a_setting_decides() -> None:
    copied, inside, dims, gated, bilstm = VARIANTS
    assert method("distillation").students == ("same_family", "bilstm")
    assert copied.students == inside.students == ("same_family",)
    assert (copied.reads_weights, inside.reads_weights) == (True, False)
    assert dims.keeps == ("layers", "heads")
    assert method("weight_inherited").keeps == ("layers", "head_dim")
    assert [(given.role, given.model_id) for given in gated.inputs] == [("small_model", SMALL)]
    assert bilstm.named_layers == {"teacher_layer": 3}


@pytest.mark.parametrize(
    ("teacher", "student", "expected"),
    [
        (MINILM, MINILM.at(EncoderShape(layers=2, hidden=64, heads=2, ffn=128)), "weight_copy"),
        (MARIAN, MARIAN, "weight_copy"),
        (
            MINILM,
            BiLstmArchitecture(
                shape=BiLstmShape(embedding=50, hidden=100, projection=384), vocabulary=99, positions=64
            ),
            "random",
        ),
        (MINILM.at(MINILM.shape.model_copy(update={"embedding": 32})), MINILM, "random"),
    ],
    ids=["narrower", "translation", "BiLSTM", "factorised teacher"],
)
def test_a_distillation_starts_from_the_teacher_where_it_can(
    teacher: Architecture, student: Architecture, expected: str
) -> None:
    spec = method("distillation")
    assert isinstance(spec, DistillationSpec)
    assert spec.initial_weights(teacher, student) == expected
    told = spec.model_copy(update={"initialisation": "weight_selection"})
    assert told.initial_weights(teacher, student) == "weight_selection"
