import pytest

from app.domain.documents import JobSpec
from app.domain.documents.comparison import ComparedModel, Measured, PairedComparison
from app.domain.documents.gate import Gate, judge


def compared(name: str, quality: float, *, drop: float | None = None, agreement: float | None = None):
    beside = None
    if drop is not None:
        beside = PairedComparison(retained=None, difference=Measured(value=-drop), test=None, p_value=None)
    return ComparedModel(
        name=name, rows=9, quality=Measured(value=quality), beside_teacher=beside, agreement=agreement
    )


def judged(gate: Gate, *models: ComparedModel):
    return judge(gate, models, split="dev", metric="accuracy")


def test_a_bound_that_is_just_met_is_met():
    gate = Gate(min_quality=0.9, max_drop=0.1, min_agreement=0.8)
    result = judged(gate, compared("student", 0.3 * 3, drop=1 - 0.9, agreement=0.8))
    assert not result.is_withheld
    assert result.sentences == ["The student meets every condition on dev."]


def test_each_failure_says_of_which_model_and_by_how_much():
    gate = Gate(min_quality=0.9, max_drop=0.02, min_agreement=0.95)
    result = judged(
        gate,
        compared("teacher", 0.5),
        compared("student", 0.92, drop=0.03, agreement=0.96),
        compared("onnx_int8", 0.85, drop=0.1, agreement=0.9),
        compared("tfidf", 0.5, drop=0.5, agreement=0.1),
    )
    assert [(one.model, one.condition, round(one.missed_by, 9)) for one in result.failures] == [
        ("student", "max_drop", 0.01),
        ("onnx_int8", "min_quality", 0.05),
        ("onnx_int8", "max_drop", 0.08),
        ("onnx_int8", "min_agreement", 0.05),
    ]
    assert result.sentences[1] == (
        "The accuracy of its int8 file on dev is 0.8500; gate.min_quality is 0.9, which it misses by 0.0500."
    )
    assert result.sentences[-1] == "It is not served until it is released."


def test_what_was_not_measured_of_the_student_is_missed():
    result = judged(Gate(min_agreement=0.5), compared("student", 1.0), compared("onnx_fp32", 1.0))
    assert [(one.model, one.measured) for one in result.failures] == [("student", None)]
    assert "could not be measured" in result.sentences[0]


@pytest.mark.parametrize(
    "gate", [{}, {"max_drop": -0.1}, {"min_agreement": 1.1}, {"min_quality": "inf"}, {"min_f1": 1}]
)
def test_a_gate_has_conditions_that_mean_something(gate):
    with pytest.raises(ValueError, match="gate"):
        JobSpec(dataset="dst_" + "0" * 26, method={"name": "tfidf"}, gate=gate)
