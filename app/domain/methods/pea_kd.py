from typing import Literal

from pydantic import Field

from app.domain.methods.card import MethodCard, Spec
from app.domain.methods.terms import DistillationTerms


class PeaKdSpec(Spec):
    """Runs each layer twice, query and key exchanged, and pretrains on the teacher's judgement."""

    name: Literal["pea_kd"]
    sharing: Literal["shuffled", "repeated", "paired", "upper_half", "lower_half"] = Field(
        default="shuffled",
        description="Layer order. For three layers: 1 2 3 1' 2' 3' (' has query and key swapped); 1 2 3 1 "
        "2 3; 1 1 2 2 3 3. For six: 1 to 6 4' 5' 6' and 1 to 6 1' 2' 3'.",
    )
    pretraining_ratio: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="Fraction of steps spent on pretraining with the teacher's predictions (PTP).",
    )
    distillation: DistillationTerms = Field(
        default_factory=lambda: DistillationTerms(logits_weight=0.7, patient_weight=100),
        description="Distillation terms of the final stage; temperature defaults to 10 / (labels - 1), at "
        "least 1.",
    )


CARD = MethodCard(
    title="Pea-KD",
    papers=["https://arxiv.org/abs/2009.14822"],
    when="For the fewest parameters when latency matters less: each of the student's few layers runs "
    "twice, so it is as slow as a student of twice the depth.",
    tasks=["text_classification"],
)
