"""From a target to a shape: held against a search that tries every shape."""

from itertools import product

import pytest

from app.core.errors import InvalidRequest
from app.core.planning import estimate, plan_student, step_count
from app.core.shapes import EncoderCard, Shape
from app.core.specs import Target, TrainingSpec

MINILM = EncoderCard(
    architecture="bert",
    shape=Shape(layers=6, hidden=384, heads=12, ffn=1536),
    vocabulary=30_522,
    positions=512,
    token_types=2,
)
WHOLE = MINILM.count(labels=2).total


def every_shape() -> list[Shape]:
    return [
        Shape(layers=layers, hidden=32 * heads, heads=heads, ffn=128 * heads)
        for heads, layers in product(range(1, 13), range(1, 7))
        if (heads, layers) != (12, 6)
    ]


class TestBudget:
    @pytest.mark.parametrize("ratio", [1.05, 1.5, 2, 4, 8, 12])
    def test_the_largest_encoder_that_fits(self, ratio):
        plan = plan_student(MINILM, Target(compression_ratio=ratio), labels=2)
        counts = [MINILM.count(shape, labels=2) for shape in every_shape()]
        best = max(count.encoder for count in counts if count.total <= WHOLE / ratio)
        assert plan.parameters.encoder == best
        assert plan.compression_ratio >= ratio
        assert plan.size_mb["fp32"] == pytest.approx(plan.parameters.total * 4 / 1e6)

    def test_the_three_budgets_mean_the_same(self):
        plans = [
            plan_student(MINILM, target, labels=2)
            for target in (
                Target(max_parameters=3_000_000),
                Target(max_size_mb=12),
                Target(compression_ratio=WHOLE / 3_000_000),
            )
        ]
        assert plans[0] == plans[1] == plans[2]

    def test_too_small_names_the_smallest(self):
        with pytest.raises(InvalidRequest) as caught:
            plan_student(MINILM, Target(max_parameters=900_000), labels=2)
        smallest = min(MINILM.count(shape, labels=2).total for shape in every_shape())
        assert caught.value.code == "target_too_small"
        assert caught.value.details["smallest_parameters"] == smallest
        assert plan_student(MINILM, Target(max_parameters=smallest), labels=2).parameters.total == smallest

    @pytest.mark.parametrize("target", [Target(max_parameters=WHOLE), Target(max_size_mb=1000)])
    def test_no_smaller_than_the_teacher(self, target):
        with pytest.raises(InvalidRequest, match="no smaller"):
            plan_student(MINILM, target, labels=2)


class TestShape:
    def test_taken_as_it_is(self):
        shape = Shape(layers=3, hidden=192, heads=12, ffn=768)
        assert plan_student(MINILM, Target(shape=shape), labels=2).shape == shape

    @pytest.mark.parametrize(
        ("name", "value"), [("layers", 7), ("hidden", 396), ("heads", 16), ("ffn", 1537)]
    )
    def test_within_the_teacher(self, name, value):
        shape = Shape(**{"layers": 3, "hidden": 384, "heads": 12, "ffn": 768} | {name: value})
        with pytest.raises(InvalidRequest) as caught:
            plan_student(MINILM, Target(shape=shape), labels=2)
        assert caught.value.pointer == f"#/target/shape/{name}"


def test_no_target_keeps_the_shape():
    plan = plan_student(MINILM, None, labels=2)
    assert (plan.shape, plan.compression_ratio) == (MINILM.shape, 1)


@pytest.mark.parametrize(
    ("rows", "epochs", "batch_size", "steps"), [(256, 3, 64, 12), (257, 1, 64, 5), (10, 0.01, 64, 1)]
)
def test_steps(rows, epochs, batch_size, steps):
    assert step_count(rows=rows, training=TrainingSpec(epochs=epochs, batch_size=batch_size)) == steps


def test_the_estimate_grows_with_what_costs():
    def seconds(rows=1000, teacher=None, card=MINILM) -> float:
        return estimate(
            card, labels=2, rows=rows, tokens_per_row=20, training=TrainingSpec(), teacher=teacher, gflops=100
        ).seconds

    student = MINILM.at(Shape(layers=3, hidden=192, heads=6, ffn=768))
    assert seconds(rows=2000) == pytest.approx(2 * seconds())
    assert seconds(card=student) < seconds()
    assert seconds(card=student, teacher=MINILM) > seconds(card=student)
    # Six operations a parameter and token: 10.6 M parameters, 20 tokens, 1000 rows, 3 epochs at 100 GFLOP/s.
    assert seconds() == pytest.approx(6 * 10_646_784 * 20 * 1000 * 3 / 100e9, rel=0.01)
