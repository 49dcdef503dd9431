from typing import Literal

from pydantic import Field, model_validator

from app.domain.methods.card import ENCODER_TASKS, MethodCard, Spec
from app.domain.methods.terms import DistillationTerms


class WeightInheritedSpec(Spec):
    """Trains compactors beside the teacher's matrices, prunes them and merges what is left (WID)."""

    name: Literal["weight_inherited"]
    strategy: Literal["dim", "head"] = Field(
        default="dim", description="What attention loses: dimensions of every head alike, or whole heads."
    )
    rotation: Literal["none", "pca"] = Field(
        default="pca",
        description="What is inherited: the teacher as it is, as in the paper; or the teacher turned to the "
        "principal directions of its residual stream and of its heads, so that what goes says least. Models "
        "of masked words are inherited as they are.",
    )
    prune_ratio: float = Field(
        default=0.25, gt=0, lt=1, description="Share of the steps over which rows and columns are given up."
    )
    compactor_rate_ratio: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="How fast compactors move the merged weights, as a share of the learning rate.",
    )
    inherited_rate_ratio: float = Field(
        default=0.02, ge=0, le=10, description="Learning rate of the teacher's weights, as a share of it."
    )
    dense_ratio: float = Field(
        default=0.75, ge=0, lt=1, description="Share of the steps spent on the merged weights afterwards."
    )
    distillation: DistillationTerms | None = Field(
        default=None,
        description="Terms from the teacher; absent, as in the paper: none. That on relations is for a "
        "network whose width stays, and counts in the dense phase.",
    )

    @model_validator(mode="after")
    def _check(self) -> "WeightInheritedSpec":
        if self.prune_ratio + self.dense_ratio > 1:
            raise ValueError(
                f"prune_ratio ({self.prune_ratio}) and dense_ratio ({self.dense_ratio}) are shares of the "
                "same steps: together they are at most 1"
            )
        terms = self.distillation
        if terms and (terms.hidden_weight or terms.patient_weight):
            raise ValueError(
                "hidden_weight and patient_weight compare states along the teacher's directions, and this "
                "student's are its own. Take relation_weight, which needs none"
            )
        if terms and terms.relation_weight and self.dense_ratio == 0:
            raise ValueError("relation_weight counts in the dense phase alone: give dense_ratio a share")
        return self


CARD = MethodCard(
    title="Weight-Inherited Distillation",
    papers=["https://arxiv.org/abs/2305.09098"],
    when="To narrow a teacher and keep its depth. On masked_language_modeling it makes a small model for any "
    "task, to be fine-tuned; on any other task a student for just that.",
    tasks=ENCODER_TASKS,
    embedding_options=["vocabulary"],
)
