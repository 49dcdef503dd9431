"""What a student must reach to be served, and whether it does."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.documents.comparison import ComparedModel, ComparedName
from app.domain.exact_types import ExactModel

GateCondition = Literal["min_quality", "max_drop", "min_agreement"]

_ROUNDING = 1e-9
"""A value that is computed in another order misses nothing."""


class Gate(ExactModel):
    """Conditions on the student and on each of its files, on test where the data set has it, else on dev."""

    model_config = ConfigDict(allow_inf_nan=False)

    min_quality: float | None = Field(default=None, description="Least value of the task's main metric.")
    max_drop: float | None = Field(
        default=None, ge=0, description="By how much the main metric may lie below the teacher's."
    )
    min_agreement: float | None = Field(
        default=None, ge=0, le=1, description="Least share of answers that are the teacher's."
    )

    @model_validator(mode="after")
    def _require_condition(self) -> Self:
        if not self.conditions:
            raise ValueError("give at least one of min_quality, max_drop and min_agreement")
        return self

    @property
    def conditions(self) -> dict[GateCondition, float]:
        """Those that were given."""
        found: dict[GateCondition, float | None] = {
            "min_quality": self.min_quality,
            "max_drop": self.max_drop,
            "min_agreement": self.min_agreement,
        }
        return {name: bound for name, bound in found.items() if bound is not None}


class GateFailure(BaseModel):
    """One condition that one model misses."""

    condition: GateCondition
    model: ComparedName
    required: float
    measured: float | None = Field(description="Null where it could not be measured.")
    missed_by: float | None = Field(description="How far the measured value is on the wrong side.")


class GateRelease(BaseModel):
    """That a student is served although it misses the gate."""

    at: datetime
    by: str = Field(description="Id of the API key, or `loopback`.")
    reason: str


class GateResult(BaseModel):
    """What the publish gate says of a student."""

    split: str
    metric: str
    conditions: Gate
    failures: list[GateFailure] = Field(description="Empty where it passes.")
    release: GateRelease | None = Field(
        default=None, description="Who has decided that it is served all the same."
    )

    @property
    def is_withheld(self) -> bool:
        """Whether the student must not be served."""
        return bool(self.failures) and self.release is None

    @property
    def sentences(self) -> list[str]:
        """What clients are told: each failure, then whether it is served."""
        if not self.failures:
            return [f"The student meets every condition on {self.split}."]
        told = [_sentence(failure, self) for failure in self.failures]
        if self.release is None:
            return [*told, "It is not served until it is released."]
        when = f"{self.release.at:%Y-%m-%d %H:%M} UTC"
        return [*told, f"Released on {when} by {self.release.by}: {self.release.reason}"]


def judge(gate: Gate, models: Sequence[ComparedModel], *, split: str, metric: str) -> GateResult:
    """Hold the student and its files, as they were compared on a split, against the conditions."""
    judged = [model for model in models if model.name in ("student", "onnx_fp32", "onnx_int8")]
    failures = [failure for model in judged for failure in _failures(gate, model)]
    return GateResult(split=split, metric=metric, conditions=gate, failures=failures)


def _failures(gate: Gate, model: ComparedModel) -> Iterator[GateFailure]:
    for condition, bound in gate.conditions.items():
        value = _measured(condition, model)
        if value is None and model.name != "student":
            continue  # the network was measured, and the file is held against it elsewhere
        if value is None:
            missed = None
        else:
            missed = value - bound if condition == "max_drop" else bound - value
            if missed <= _ROUNDING:
                continue
        yield GateFailure(
            condition=condition, model=model.name, required=bound, measured=value, missed_by=missed
        )


def _measured(condition: GateCondition, model: ComparedModel) -> float | None:
    match condition:
        case "min_quality":
            return model.quality.value
        case "max_drop":
            return None if model.beside_teacher is None else -model.beside_teacher.difference.value
        case "min_agreement":
            return model.agreement


def _sentence(failure: GateFailure, result: GateResult) -> str:
    of = {"student": "the student", "onnx_fp32": "its fp32 file", "onnx_int8": "its int8 file"}[failure.model]
    what = {
        "min_quality": f"The {result.metric} of {of} on {result.split}",
        "max_drop": f"The drop in {result.metric} from the teacher to {of} on {result.split}",
        "min_agreement": f"The agreement of {of} with the teacher on {result.split}",
    }[failure.condition]
    asked = f"gate.{failure.condition} is {failure.required:g}"
    if failure.measured is None or failure.missed_by is None:
        return f"{what} could not be measured; {asked}."
    return f"{what} is {failure.measured:.4f}; {asked}, which it misses by {failure.missed_by:.4f}."
