from typing import ClassVar, Literal

from app.domain.methods.card import ALL_TASKS, MethodCard
from app.domain.methods.spec import DistillingSpec


class WeightSelectionSpec(DistillingSpec):
    """Initialises the student with evenly spaced rows and columns of the teacher, then trains it."""

    name: Literal["weight_selection"]

    card: ClassVar[MethodCard] = MethodCard(
        title="Weight selection",
        papers=["https://arxiv.org/abs/2311.18823"],
        when="As a baseline: an initialisation from the teacher that uses no data.",
        tasks=ALL_TASKS,
    )
