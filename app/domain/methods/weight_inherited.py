from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from pydantic import Field, model_validator

from app.domain.architectures import EncoderShape, EncoderTrait
from app.domain.methods.card import ENCODER_TASKS, MethodCard
from app.domain.methods.spec import Dimension, DistillingSpec, TrainingPhase
from app.domain.methods.terms import DistillationTerms

REFITS: Final = 16
"""Portions in which indices are given up, as in the paper's code."""
REFITTING_TOKENS: Final = 5_000
"""Fitted to at each of them."""


class WeightInheritedSpec(DistillingSpec):
    """Trains compactors beside the teacher's matrices, prunes them and merges the rest (WID)."""

    name: Literal["weight_inherited"]
    strategy: Literal["dim", "head"] = Field(
        default="head",
        description="What is pruned in attention. `head`: whole heads; `dim`: dimensions of every head, "
        "which then no longer find the same word in two texts: not for pairs.",
    )
    rotation: Literal["none", "pca"] = Field(
        default="pca",
        description="`none`: the teacher as it is, as in the paper; `pca`: rotate the teacher to the "
        "principal components of its residual stream and heads, so that the pruned dimensions carry the "
        "least variance. Ignored for masked_language_modeling.",
    )
    prune_ratio: float = Field(
        default=0.25, gt=0, lt=1, description="Fraction of steps over which rows and columns are pruned."
    )
    compactor_rate_ratio: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="Learning rate of the compactors, measured by the change of the merged weights, "
        "relative to learning_rate.",
    )
    inherited_rate_ratio: float = Field(
        default=0.02,
        ge=0,
        le=10,
        description="Learning rate of the teacher's weights, relative to learning_rate.",
    )
    dense_ratio: float = Field(
        default=0.75, ge=0, lt=1, description="Fraction of steps that train the merged weights at the end."
    )
    distillation: DistillationTerms | None = Field(
        default=None,
        description="Distillation terms of the loss; default: none, as in the paper. relation_weight "
        "applies only in the dense phase, where the width no longer changes.",
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Weight-Inherited Distillation",
        papers=["https://arxiv.org/abs/2305.09098"],
        when="To reduce a teacher's width and keep its depth. On masked_language_modeling it makes a general "
        "small model for fine-tuning; on other tasks a task-specific student.",
        tasks=ENCODER_TASKS,
        embedding_options=["vocabulary_size"],
    )
    trains_teacher: ClassVar[bool] = True
    calibration_passes: ClassVar[float] = 20

    @property
    def phases(self) -> tuple[TrainingPhase, ...]:
        between = max(0.0, 1 - self.prune_ratio - self.dense_ratio)
        return (
            TrainingPhase(self.prune_ratio, generates=True, narrows=True, refits=REFITS),
            TrainingPhase(between, generates=True),
            TrainingPhase(self.dense_ratio),
        )

    def generating_products(self, teacher: EncoderShape, student: EncoderShape, size: float) -> float:
        """Of compactors on both sides of each matrix; rows that are pruned are no longer made."""
        width, ffn = teacher.hidden, teacher.ffn
        layer = 8 * width**3 + 2 * (ffn**2 * width + ffn * width**2)
        kept = size + (1 - size) * student.hidden / width
        return 3 * kept * teacher.layers * layer

    def refitting_products(self, teacher: EncoderShape, student: EncoderShape, size: float) -> float:
        """Of regressions on what each layer's neurons say of the calibration text."""
        kept = size + (1 - size) * student.hidden / teacher.hidden
        return 1.3 * teacher.layers * REFITTING_TOKENS * (kept * teacher.ffn) ** 2

    @property
    def unsupported_traits(self) -> Mapping[EncoderTrait, str]:
        traits: dict[EncoderTrait, str] = {
            "projected_embeddings": "it prunes embeddings that lie on the dimensions of the layers",
            "relative_bias": "it prunes the heads of each layer by themselves",
            "shared_layers": "it prunes each layer by itself",
        }
        if self.strategy == "dim":
            traits["rotary_positions"] = "strategy dim prunes within heads. Use strategy head"
        return traits

    @model_validator(mode="after")
    def _check(self) -> "WeightInheritedSpec":
        if self.prune_ratio + self.dense_ratio > 1:
            raise ValueError(
                f"prune_ratio ({self.prune_ratio}) and dense_ratio ({self.dense_ratio}) are fractions of "
                "the same steps and must sum to at most 1"
            )
        terms = self.distillation
        if terms and (terms.hidden_weight or terms.patient_weight):
            raise ValueError(
                "hidden_weight and patient_weight are not supported: the student's hidden dimensions do "
                "not match the teacher's. Use relation_weight"
            )
        if terms and terms.relation_weight and self.dense_ratio == 0:
            raise ValueError("relation_weight applies only in the dense phase: set dense_ratio above 0")
        return self

    @property
    def qualified_name(self) -> str:
        return f"{self.name} with the strategy {self.strategy}"

    @property
    def other_keeping(self) -> str:
        if self.strategy == "dim":
            return "The strategy head keeps the size of heads instead"
        return "The strategy dim keeps the number of heads instead"

    @property
    def keeps(self) -> tuple[Dimension, ...]:
        return ("layers", "heads") if self.strategy == "dim" else ("layers", "head_dim")

    def extra_parameters(self, teacher: EncoderShape) -> int:
        """Compactors of all layers: square matrices on both sides of each of theirs."""
        return teacher.layers * (10 * teacher.hidden**2 + 2 * teacher.ffn**2)
