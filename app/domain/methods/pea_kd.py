from typing import Literal

from pydantic import Field

from app.domain.methods.card import MethodCard, Spec
from app.domain.methods.terms import DistillationTerms


class PeaKdSpec(Spec):
    """Runs each layer twice, query and key exchanged, and pretrains on the teacher's judgement."""

    name: Literal["pea_kd"]
    sharing: Literal["shuffled", "repeated", "paired", "upper_half", "lower_half"] = Field(
        default="shuffled",
        description="The order for three layers: 1 2 3 1' 2' 3' (' is exchanged); 1 2 3 1 2 3; 1 1 2 2 3 "
        "3; and, for six, 1 to 6 4' 5' 6' and 1 to 6 1' 2' 3'.",
    )
    pretraining_ratio: float = Field(
        default=0.3, ge=0, lt=1, description="Share of the steps spent on the teacher's predictions (PTP)."
    )
    distillation: DistillationTerms = Field(
        default_factory=lambda: DistillationTerms(logits_weight=0.7, patient_weight=100),
        description="Terms of the final stage; temperature defaults to 10 / (labels - 1), at least 1.",
    )


CARD = MethodCard(
    title="Pea-KD",
    papers=["https://arxiv.org/abs/2009.14822"],
    when="When parameters are dear and time is not: the student has few layers and runs each twice, so "
    "that it is as slow as one of twice the depth.",
    tasks=["text_classification"],
)
