from typing import ClassVar, Literal

from pydantic import Field

from app.domain.methods.card import ENCODER_TASKS, MethodCard
from app.domain.methods.spec import Dimension, DistillingSpec


class LowRankSpec(DistillingSpec):
    """Replaces each matrix of the teacher's layers by a product of two low-rank matrices, then trains it."""

    name: Literal["low_rank"]
    factorisation: Literal["svd", "fisher"] = Field(
        default="svd",
        description="`svd`: plain SVD; `fisher`: weighted by the Fisher information of the rows (Hsu et al., "
        "2022).",
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Low-rank factorisation",
        papers=["https://arxiv.org/abs/2207.00112"],
        when="As a baseline, or if depth and width must not change. Each matrix becomes two thin ones: check "
        "the latency, not only the size.",
        tasks=ENCODER_TASKS,
    )
    factorises: ClassVar[bool] = True
    calibration_passes: ClassVar[float] = 1.5
    keeps: ClassVar[tuple[Dimension, ...]] = ("layers", "hidden", "heads", "ffn")

    @property
    def weighs_by_labels(self) -> bool:
        return self.factorisation == "fisher"
