from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from pydantic import Field

from app.domain.architectures import Architecture, EncoderTrait, LayerUse
from app.domain.methods.card import MethodCard
from app.domain.methods.spec import Dimension, DistillingSpec, Spec
from app.domain.methods.terms import DistillationTerms, told_temperature

TEMPERATURE_OF_TWO: Final = 10.0
"""The paper's tasks have two labels, or three."""

Sharing = Literal["shuffled", "repeated", "paired", "upper_half", "lower_half"]


class PeaKdSpec(DistillingSpec):
    """Runs each layer twice, with query and key swapped, after pretraining on the teacher's predictions."""

    name: Literal["pea_kd"]
    sharing: Sharing = Field(
        default="shuffled",
        description="Layer order. `shuffled`: 1 2 3 1' 2' 3' for three layers (' has query and key swapped); "
        "`repeated`: 1 2 3 1 2 3; `paired`: 1 1 2 2 3 3. For six layers `upper_half`: 1 to 6 4' 5' 6'; "
        "`lower_half`: 1 to 6 1' 2' 3'.",
    )
    pretraining_ratio: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="Fraction of steps spent on pretraining with the teacher's predictions (PTP).",
    )
    distillation: DistillationTerms = Field(
        default_factory=lambda: DistillationTerms(logits_weight=0.7, patient_weight=100),
        description="Distillation terms of the final stage; default of temperature: "
        f"{told_temperature(TEMPERATURE_OF_TWO)}.",
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Pea-KD",
        papers=["https://arxiv.org/abs/2009.14822"],
        when="For the fewest parameters when latency matters less: each of the student's few layers runs "
        "twice, so it is as slow as a student of twice the depth.",
        tasks=["text_classification"],
    )
    keeps: ClassVar[tuple[Dimension, ...]] = ("hidden", "heads", "ffn")
    needs_dev_outputs: ClassVar[bool] = True
    unsupported_traits: ClassVar[Mapping[EncoderTrait, str]] = {
        "shared_layers": "it shares layers of its own choice",
        "unlike_layers": "it runs layers again in the places of others",
    }

    def without_outputs(self, teacher: Architecture, student: Architecture) -> Spec | None:  # noqa: ARG002 - its pretraining learns from nothing else
        return None

    def layer_schedule(self, layers: int) -> tuple[LayerUse, ...]:
        return layer_schedule(self.sharing, layers)


def layer_schedule(sharing: Sharing, layers: int) -> tuple[LayerUse, ...]:
    """The runs of ``layers`` layers, first to last; a swapped one exchanges query and key.

    For three layers, ' being swapped: shuffled 1 2 3 1' 2' 3', repeated 1 2 3 1 2 3, paired 1 1 2 2 3 3,
    upper_half 1 2 3 2' 3', lower_half 1 2 3 1' 2' (the middle one of an odd number counts to both halves).
    """
    once = tuple(LayerUse(layer=layer) for layer in range(layers))
    match sharing:
        case "shuffled":
            return once + _swapped(0, layers)
        case "repeated":
            return once + once
        case "paired":
            return tuple(use for use in once for _ in range(2))
        case "upper_half":
            return once + _swapped(layers // 2, layers)
        case "lower_half":
            return once + _swapped(0, (layers + 1) // 2)


def _swapped(start: int, end: int) -> tuple[LayerUse, ...]:
    return tuple(LayerUse(layer=layer, swapped=True) for layer in range(start, end))
