"""A job as its row stores it and the worker reads it."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from app.domain.documents.auto import AUTO, AutoSpec
from app.domain.documents.gate import Gate
from app.domain.documents.target import Target
from app.domain.documents.training import Precision, TrainingSpec
from app.domain.documents.versions import Json, StoredDocument
from app.domain.exact_types import ExactModel
from app.domain.methods import METHOD_SPECS, TEACHER, MethodSpec, ModelInput


def _name_sizes(spec: Json) -> Json:
    """Version 2: of a target, ``vocabulary_size`` and ``embedding_size``."""
    names = {"vocabulary": "vocabulary_size", "embedding": "embedding_size"}
    target = spec.get("target")
    if target is not None:
        target = {names.get(name, name): value for name, value in target.items()}
    return {**spec, "target": target}


def _same(spec: Json) -> Json:
    """Version 3: ``controls`` and ``gate``, which a worker of version 2 would refuse."""
    return spec


RequestedMethod = Annotated[MethodSpec | AutoSpec, Field(discriminator="name")]
"""A method, or a search among them."""


class JobSpec(ExactModel, StoredDocument):
    """Everything that determines a job's result, except the content of the model and the data set."""

    document_name: ClassVar = "job spec"
    upgraders: ClassVar = (_name_sizes, _same)

    teacher: str | None = Field(
        default=None,
        pattern=r"^mdl_[0-9A-Z]{26}$",
        description="Id of the model to compress. Where the data set has `teacher_scores`, these are learnt "
        "from, and the model, whose weights are inherited, needs no head for the task; a BiLSTM or a "
        "translation model can learn them without a teacher. Omit it, too, for a scratch job that trains a "
        "first model.",
    )
    dataset: str = Field(
        pattern=r"^dst_[0-9A-Z]{26}$", description="Id of the data set to train and evaluate on."
    )
    method: RequestedMethod
    teacher_weights: dict[str, float] | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        # A worker of an earlier version refuses members that it does not know.
        exclude_if=lambda weights: weights is None,
        description="Weights of the teachers in the data set's `teacher_scores`, by name; others do not "
        "count. Default: all count the same.",
    )
    student_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$",
        # A worker of an earlier version refuses members that it does not know.
        exclude_if=lambda name: name is None,
        description="Display name of the student; default: the teacher's, or else the data set's, and the "
        "method.",
    )
    target: Target | None = Field(
        default=None, description="Size target; omit it for methods that keep the size."
    )
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    time_limit_s: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        # A worker of an earlier version refuses members that it does not know.
        exclude_if=lambda limit: limit is None,
        description="Seconds that the job may run, with retries; default and maximum: the server's limit.",
    )
    exports: list[Precision] = Field(
        default=["fp32", "int8"], min_length=1, max_length=2, description="Precisions of the ONNX exports."
    )
    required_exports: list[Precision] = Field(
        default=[],
        max_length=2,
        # A worker of an earlier version refuses members that it does not know.
        exclude_if=lambda required: not required,
        description="Exports without which the job fails. An int8 file that falls short of the network is "
        "left out with a warning unless it is named here.",
    )

    controls: bool | None = Field(
        default=None,
        exclude_if=lambda controls: controls is None,
        description="Whether controls are trained beside the student for the report: the same student "
        "without distillation, in at most 500 steps, and a logistic regression on TF-IDF. Default: true for "
        "text_classification and multi_label_classification.",
    )

    gate: Gate | None = Field(
        default=None,
        exclude_if=lambda gate: gate is None,
        description="What the student must reach to be served. One that misses it is kept and marked, and "
        "answers no request until `POST /v1/models/{id}/release` overrides that.",
    )

    @field_validator("teacher_weights")
    @classmethod
    def _require_weights(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        for name, weight in (weights or {}).items():
            if not 0 < weight < math.inf:
                raise ValueError(f"the weight of {name!r} is {weight:g}; weights are finite and above 0")
        return weights

    @model_validator(mode="after")
    def _require_exported(self) -> Self:
        if absent := sorted(set(self.required_exports) - set(self.exports)):
            raise ValueError(f"required_exports names {', '.join(absent)}, which exports does not")
        return self

    @classmethod
    def _newer_part(cls, stored: object) -> str | None:
        if (newer := super()._newer_part(stored)) is not None:
            return newer
        method = stored.get("method") if isinstance(stored, Mapping) else None
        name = method.get("name") if isinstance(method, Mapping) else None
        if isinstance(name, str) and name not in {*METHOD_SPECS, AUTO}:
            return f"its method {name!r} is one that this server does not have"
        return None

    @property
    def search(self) -> AutoSpec | None:
        """What is searched for; None for a job of one method."""
        return self.method if isinstance(self.method, AutoSpec) else None

    @property
    def inputs(self) -> tuple[ModelInput, ...]:
        """The models that the job needs: its teacher, and those that the method names."""
        teacher = () if self.teacher is None else (ModelInput(TEACHER, self.teacher, "#/teacher"),)
        return teacher + self.method.inputs
