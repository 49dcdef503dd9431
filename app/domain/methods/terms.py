"""Settings that several methods share."""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from app.domain.exact_types import ExactModel

LayerMap = Literal["uniform", "first", "last", "outer"]
Initialisation = Literal["random", "weight_copy", "weight_selection"]

LAYER_MAPS: Final = (
    "`uniform`: evenly spaced; `first`: the lowest; `last`: the highest; `outer`: those of both ends"
)
"""What a description says of them."""
TEMPERATURE_OF_TWO: Final = 2.0
"""Of a choice among two labels."""


def default_temperature(outputs: int, *, of_two: float = TEMPERATURE_OF_TWO) -> float:
    """What leaves a teacher's choice as plain among many outputs as it is among two: never below 1."""
    return max(1.0, of_two / max(1, outputs - 1))


def told_temperature(of_two: float) -> str:
    """The same as a description says it."""
    return f"{of_two:g} / (labels - 1), at least 1"


class Settings(ExactModel):
    """A group of settings; unknown ones are refused."""

    model_config = ConfigDict(allow_inf_nan=False)


class DistillationTerms(Settings):
    """Distillation terms of the loss: (1 - w) CE + w T² KL + h MSE(hidden) + p patient + r relations.

    For translation, where the student learns from the teacher's translations, only ``logits_weight`` applies:
    above 0 they are added to the data, at 1 they replace it. The other weights are rejected, and the
    temperature has no effect.
    """

    temperature: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Softmax temperature of teacher and student; default: "
        f"{told_temperature(TEMPERATURE_OF_TWO)}. Pea-KD has a default of its own.",
    )
    logits_weight: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Weight of the KL term; the labels' cross-entropy has weight 1 - logits_weight.",
    )
    hidden_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Weight of the squared distance between last hidden states. A wider teacher's states "
        "are projected by the map that initialised the student, or else to their principal components.",
    )
    patient_weight: float = Field(
        default=0.0,
        ge=0,
        le=10_000,
        description="Weight of the squared distance between normalised first-token states of matched "
        "layers, all of the student's but its last (patient distillation, Sun et al., 2019); a wider "
        "teacher's states are projected as for hidden_weight.",
    )
    patient_layers: Literal["skip", "last"] = Field(
        default="skip", description="Matched teacher layers. `skip`: evenly spaced; `last`: the last ones."
    )
    relation_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Weight of the KL between the relations among queries, keys and values of the last "
        "layers (MiniLMv2, Wang et al., 2021).",
    )
    relation_heads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Number of relation heads; default: the most that divide both hidden sizes, up to the "
        "teacher's heads.",
    )

    @property
    def state_weights(self) -> dict[str, float]:
        """By name, those above 0 of the terms on the inside of a teacher's network."""
        names = ("hidden_weight", "patient_weight", "relation_weight")
        return {name: weight for name in names if (weight := getattr(self, name))}
