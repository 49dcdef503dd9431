"""Shapes and teachers that a method cannot work with are refused, each fault by its name and place."""

import pytest

from app.domain.architectures import (
    AnyShape,
    Architecture,
    BiLstmArchitecture,
    BiLstmShape,
    EncoderDecoderShape,
    EncoderShape,
    LayerUse,
)
from app.domain.documents import Target
from app.domain.errors import InvalidRequest
from app.domain.planning import plan_student
from app.domain.planning.constraints import require_fitting, require_teacher
from app.domain.planning.search_space import family
from tests.domain.planning.teachers import CLASSES, MARIAN, MINILM, TAGS, TRANSLATION, WORDS, able, method

SMALL = {"layers": 3, "hidden": 192, "heads": 6, "ffn": 768}
TRANSLATOR = {"encoder_layers": 6, "decoder_layers": 2, "hidden": 512, "heads": 8, "ffn": 2048}
A_THIRD = {"compression_ratio": 3}
READERS_OF_WEIGHTS = [name for name in able(CLASSES) if name not in ("scratch", "distillation", "tfidf")]


def refusal(name: str, shape: AnyShape, *, teacher: Architecture = MINILM, **knobs: object) -> InvalidRequest:
    head = TRANSLATION if teacher is MARIAN else CLASSES
    with pytest.raises(InvalidRequest) as caught:
        plan_student(teacher, method(name, **knobs), Target(shape=shape), head=head)
    return caught.value


@pytest.mark.parametrize("name", [*able(CLASSES), "weight_inherited by dim"])
def test_a_shape_of_the_family_is_taken(name):
    """A budget never leads to a shape that would be refused if it were asked for."""
    name, _, strategy = name.partition(" by ")
    spec = method(name, strategy=strategy) if strategy else method(name)
    for student in family(MINILM, spec, embedding=None):
        require_fitting(MINILM.shape, spec, student.shape, head=CLASSES)


@pytest.mark.parametrize("name", able(TRANSLATION))
def test_a_shape_of_a_translator_s_family_is_taken(name):
    for student in family(MARIAN, method(name), embedding=None):
        require_fitting(MARIAN.shape, method(name), student.shape, head=TRANSLATION)


@pytest.mark.parametrize(("name", "value"), [("layers", 7), ("hidden", 396), ("heads", 16), ("ffn", 1537)])
def test_larger_than_the_teacher(name, value):
    shape = EncoderShape(**SMALL | {"hidden": 384, "heads": 12} | {name: value})
    error = refusal("weight_squeezing", shape)
    assert (error.code, error.pointer) == ("target_too_large", f"#/target/shape/{name}")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"encoder_layers": 7}, "encoder_layers"),
        ({"decoder_layers": 7}, "decoder_layers"),
        ({"hidden": 576, "decoder_hidden": 512}, "hidden"),
        ({"decoder_hidden": 576}, "decoder_hidden"),
        ({"ffn": 4096, "decoder_ffn": 2048}, "ffn"),
        ({"decoder_ffn": 4096}, "decoder_ffn"),
        ({"decoder_heads": 16}, "decoder_heads"),
    ],
)
def test_larger_than_a_translator(change, place):
    error = refusal("distillation", EncoderDecoderShape(**TRANSLATOR | change), teacher=MARIAN)
    assert (error.code, error.pointer) == ("target_too_large", f"#/target/shape/{place}")


@pytest.mark.parametrize(
    ("name", "knobs", "change", "place"),
    [
        ("weight_inherited", {}, {}, "layers"),
        ("weight_inherited", {"strategy": "dim"}, {"layers": 6}, "heads"),
        ("weight_inherited", {}, {"layers": 6, "heads": 12}, "hidden"),
        ("pea_kd", {}, {}, "hidden"),
        ("pea_kd", {}, {"hidden": 384}, "heads"),
        ("pea_kd", {}, {"hidden": 384, "heads": 12}, "ffn"),
        ("low_rank", {}, {"rank": 32}, "layers"),
        ("low_rank", {}, {}, "rank"),
        ("low_rank", {}, {"rank": 384}, "rank"),
        ("weight_copy", {}, {"rank": 32}, "rank"),
    ],
)
def test_what_the_method_keeps(name, knobs, change, place):
    error = refusal(name, EncoderShape(**SMALL | change), **knobs)
    assert (error.code, error.pointer) == ("invalid_shape", f"#/target/shape/{place}")
    assert name in error.message


@pytest.mark.parametrize(
    ("strategy", "heads", "other"), [("head", 12, "strategy dim"), ("dim", 6, "strategy head")]
)
def test_wid_says_which_strategy_would_make_the_shape(strategy, heads, other):
    shape = EncoderShape(**SMALL | {"layers": 6, "heads": heads})
    assert other in refusal("weight_inherited", shape, strategy=strategy).message


def test_a_rank_as_large_as_a_narrow_feed_forward():
    teacher = MINILM.at(EncoderShape(layers=3, hidden=192, heads=6, ffn=96))
    error = refusal(
        "low_rank", EncoderShape(layers=3, hidden=192, heads=6, ffn=96, rank=100), teacher=teacher
    )
    assert "below 96" in error.message
    ranks = [architecture.shape.rank for architecture in family(teacher, method("low_rank"), embedding=None)]
    assert max(ranks) < 96


WIDE_HEADS = EncoderShape(layers=2, hidden=128, heads=2, ffn=512)


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("weight_copy", {}),
        ("weight_selection", {}),
        ("weight_squeezing", {}),
        ("weight_distillation", {}),
        ("distillation", {"initialisation": "weight_copy"}),
    ],
)
def test_heads_wider_than_those_they_are_taken_from(name, knobs):
    error = refusal(name, WIDE_HEADS, **knobs)
    assert (error.code, error.pointer) == ("invalid_shape", "#/target/shape/heads")
    assert error.details["largest"] == 32


@pytest.mark.parametrize("name", ["scratch", "distillation"])
def test_heads_wider_than_the_teacher_s_where_nothing_is_taken(name):
    plan = plan_student(MINILM, method(name), Target(shape=WIDE_HEADS), head=CLASSES)
    assert plan.shape == WIDE_HEADS


def test_heads_of_a_decoder_wider_than_the_teacher_s():
    shape = EncoderDecoderShape(**TRANSLATOR | {"decoder_heads": 4})
    assert refusal("weight_copy", shape, teacher=MARIAN).pointer == "#/target/shape/decoder_heads"


def test_states_of_another_width():
    error = refusal("bilstm", BiLstmShape(embedding=50, hidden=200, projection=192))
    assert error.pointer == "#/target/shape/projection"
    assert error.details["expected"] == 384


@pytest.mark.parametrize("layers", [4, 5])
def test_a_depth_that_does_not_divide(layers):
    error = refusal("weight_distillation", EncoderShape(**SMALL | {"layers": layers}))
    assert (error.code, error.pointer) == ("depth_not_divisible", "#/target/shape/layers")
    assert error.details["possible"] == [1, 2, 3, 6]


@pytest.mark.parametrize("side", ["encoder_layers", "decoder_layers"])
def test_a_depth_of_a_translator_that_does_not_divide(side):
    shape = EncoderDecoderShape(**TRANSLATOR | {side: 4})
    assert refusal("weight_distillation", shape, teacher=MARIAN).pointer == f"#/target/shape/{side}"


@pytest.mark.parametrize(
    ("name", "shape", "teacher", "words"),
    [
        ("distillation", EncoderDecoderShape(**TRANSLATOR), MINILM, "layers, hidden, heads, ffn"),
        ("weight_copy", BiLstmShape(embedding=50, hidden=200, projection=384), MINILM, "layers, hidden"),
        ("bilstm", EncoderShape(**SMALL), MINILM, "embedding, hidden, projection"),
        ("distillation", EncoderShape(**SMALL), MARIAN, "encoder_layers, decoder_layers, hidden"),
    ],
)
def test_a_shape_of_another_kind(name, shape, teacher, words):
    error = refusal(name, shape, teacher=teacher)
    assert (error.code, error.pointer) == ("invalid_shape", "#/target/shape")
    assert words in error.message


class TestBiLstm:
    """Its controls make one too, where it is asked for by its shape."""

    SHAPE = BiLstmShape(embedding=50, hidden=200, projection=100)

    @pytest.mark.parametrize("name", ["scratch", "distillation"])
    @pytest.mark.parametrize("head", [CLASSES, TAGS], ids=lambda head: head.task)
    def test_of_a_control(self, name, head):
        plan = plan_student(MINILM, method(name), Target(shape=self.SHAPE), head=head)
        assert (plan.architecture.family, plan.shape) == ("bilstm", self.SHAPE)

    @pytest.mark.parametrize(
        "knobs", [{"initialisation": "weight_copy"}, {"distillation": {"patient_weight": 1}}]
    )
    def test_of_a_control_that_looks_inside(self, knobs):
        assert refusal("distillation", self.SHAPE, **knobs).code == "invalid_shape"

    def test_on_another_task(self):
        with pytest.raises(InvalidRequest, match="text_classification and token_classification"):
            plan_student(MINILM, method("scratch"), Target(shape=self.SHAPE), head=WORDS)


def test_no_smaller_than_the_teacher():
    assert refusal("weight_squeezing", MINILM.shape).code == "target_too_large"
    rank = MINILM.shape.model_copy(update={"rank": 350})
    assert refusal("low_rank", rank).code == "target_too_large"


TEACHERS = {
    "a BiLSTM": BiLstmArchitecture(
        shape=BiLstmShape(embedding=50, hidden=200, projection=384), vocabulary=30_522, positions=512
    ),
    "shared layers": MINILM.model_copy(update={"schedule": (LayerUse(layer=0), LayerUse(layer=0))}),
    "rank 32": MINILM.at(MINILM.shape.model_copy(update={"rank": 32})),
    "embedding 64": MINILM.at(MINILM.shape.model_copy(update={"embedding": 64})),
}


class TestTeacher:
    @pytest.mark.parametrize("name", READERS_OF_WEIGHTS)
    @pytest.mark.parametrize("what", TEACHERS)
    def test_whose_weights_are_not_where_they_are_read(self, name, what):
        with pytest.raises(InvalidRequest, match=what) as caught:
            plan_student(TEACHERS[what], method(name), Target(**A_THIRD), head=CLASSES)
        assert (caught.value.code, caught.value.pointer) == ("incompatible_teacher", "#/teacher")

    @pytest.mark.parametrize("what", ["shared layers", "rank 32", "embedding 64"])
    def test_whose_outputs_alone_count(self, what):
        plan = plan_student(TEACHERS[what], method("distillation"), Target(**A_THIRD), head=CLASSES)
        assert plan.architecture.schedule is None
        assert plan.shape.rank is None

    @pytest.mark.parametrize("what", TEACHERS)
    def test_that_is_trained_further(self, what):
        require_teacher(TEACHERS[what], method("fine_tuning"))

    def test_that_a_student_starts_from(self):
        spec = method("distillation", initialisation="weight_copy")
        with pytest.raises(InvalidRequest, match="rank 32"):
            require_teacher(TEACHERS["rank 32"], spec)


@pytest.mark.parametrize(("heads", "whose"), [(48, None), (24, None), (7, "teacher"), (128, "student")])
def test_relation_heads_divide_both_widths(heads, whose):
    """384 and 192 wide; without a weight they are not looked at."""
    spec = method("distillation", distillation={"relation_weight": 1, "relation_heads": heads})
    unused = method("distillation", distillation={"relation_heads": heads})
    target = Target(shape=EncoderShape(**SMALL))
    plan_student(MINILM, unused, target, head=CLASSES)
    if whose is None:
        plan_student(MINILM, spec, target, head=CLASSES)
        return
    with pytest.raises(InvalidRequest, match=f"The {whose}'s hidden") as caught:
        plan_student(MINILM, spec, target, head=CLASSES)
    assert caught.value.code == "heads_not_divisible"
    assert caught.value.pointer == "#/method/distillation/relation_heads"


def test_a_layer_that_the_teacher_has_not():
    shape = BiLstmShape(embedding=50, hidden=100, projection=384)
    error = refusal("bilstm", shape, teacher_layer=7)
    assert (error.code, error.pointer) == ("teacher_layer_out_of_range", "#/method/teacher_layer")
    assert error.details["largest"] == 6
