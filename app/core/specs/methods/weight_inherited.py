from typing import Literal

from pydantic import Field

from app.core.specs.card import ENCODER_TASKS, MethodCard
from app.core.specs.methods.terms import DensePhase, DistillationTerms


class WeightInheritedSpec(DensePhase):
    """Trains compactors beside the teacher's matrices, prunes them and merges what is left (WID)."""

    name: Literal["weight_inherited"]
    strategy: Literal["dim", "head"] = Field(
        default="dim", description="What attention loses: dimensions of every head alike, or whole heads."
    )
    rotation: Literal["none", "pca"] = Field(
        default="none",
        description="Where compactors start: at the identity, where the network is the teacher; or at the principal "
        "directions of its residual stream, of which the least are given up first.",
    )
    prune_ratio: float = Field(
        default=0.5, gt=0, lt=1, description="Share of the steps over which rows and columns are given up."
    )
    compactor_rate_ratio: float = Field(
        default=1.0, gt=0, le=100, description="Learning rate of compactors, as a share of the training's."
    )
    inherited_rate_ratio: float = Field(
        default=0.02, ge=0, le=10, description="Learning rate of the teacher's weights, as a share of it."
    )
    distillation: DistillationTerms | None = Field(
        default=None, description="Terms from the teacher's predictions; absent, as in the paper: none."
    )


CARD = MethodCard(
    title="Weight-Inherited Distillation",
    papers=["https://arxiv.org/abs/2305.09098"],
    when="To narrow a teacher and keep its depth. On masked_language_modeling it makes a small model for any "
    "task, to be fine-tuned; on any other task a student for just that.",
    tasks=ENCODER_TASKS,
    savings=["vocabulary"],
)
