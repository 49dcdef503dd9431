from typing import Literal

from pydantic import Field

from app.domain.methods.card import ALL_TASKS, MethodCard, Spec
from app.domain.methods.terms import DistillationTerms


class WeightSelectionSpec(Spec):
    """Starts the student from evenly spaced rows and columns of the teacher, then trains it."""

    name: Literal["weight_selection"]
    distillation: DistillationTerms | None = Field(
        default=None, description="Distillation terms of the loss; default: labels only."
    )


CARD = MethodCard(
    title="Weight selection",
    papers=["https://arxiv.org/abs/2311.18823"],
    when="As a baseline: an initialisation from the teacher that uses no data.",
    tasks=ALL_TASKS,
)
