from typing import Literal

from pydantic import Field

from app.domain.methods.card import ALL_TASKS, MethodCard, Spec
from app.domain.methods.terms import DistillationTerms, LayerMap


class WeightCopySpec(Spec):
    """Starts the student from rows and columns of the teacher (weight subcloning), then trains it."""

    name: Literal["weight_copy"]
    layer_map: LayerMap = Field(default="uniform", description="Which teacher layers the student takes.")
    rescale: bool = Field(
        default=True, description="Multiply copied matrices by the root of the ratio of their input widths."
    )
    distillation: DistillationTerms | None = Field(
        default=None, description="Terms from the teacher's predictions; absent: labels only."
    )


CARD = MethodCard(
    title="Weight subcloning",
    papers=["https://arxiv.org/abs/2312.09299"],
    when="When steps are few: the cheapest start from the teacher. Also the control for methods that learn "
    "what to take.",
    tasks=ALL_TASKS,
)
