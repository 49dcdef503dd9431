from typing import Literal

from pydantic import Field

from app.domain.methods.card import ENCODER_TASKS, MethodCard, Spec
from app.domain.methods.terms import DistillationTerms


class LowRankSpec(Spec):
    """Replaces each matrix of the teacher's layers by a product of two of low rank, then trains it."""

    name: Literal["low_rank"]
    factorisation: Literal["svd", "fisher"] = Field(
        default="svd",
        description="What is kept: plain singular directions, or rows weighed by their Fisher "
        "information (Hsu et al., 2022).",
    )
    distillation: DistillationTerms | None = Field(
        default=None, description="Terms from the teacher's predictions; absent: labels only."
    )


CARD = MethodCard(
    title="Low-rank factorisation",
    papers=["https://arxiv.org/abs/2207.00112"],
    when="As a control, or where depth and width must stay. More and thinner matrices: look at the "
    "latency, not at the size alone.",
    tasks=ENCODER_TASKS,
)
