from typing import ClassVar, Literal

from pydantic import Field

from app.domain.methods.card import ALL_TASKS, MethodCard
from app.domain.methods.spec import DistillingSpec
from app.domain.methods.terms import LAYER_MAPS, LayerMap


class WeightCopySpec(DistillingSpec):
    """Initialises the student with rows and columns of the teacher (weight subcloning), then trains it."""

    name: Literal["weight_copy"]
    layer_map: LayerMap = Field(
        default="uniform", description=f"Which teacher layers are copied. {LAYER_MAPS}."
    )
    rescale: bool = Field(
        default=True,
        description="Scale copied matrices by the square root of the ratio of their input widths.",
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Weight subcloning",
        papers=["https://arxiv.org/abs/2312.09299"],
        when="For short trainings: the cheapest initialisation from the teacher. Also a baseline for methods "
        "that learn what to keep.",
        tasks=ALL_TASKS,
    )
    calibration_passes: ClassVar[float] = 2
