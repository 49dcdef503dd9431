"""Knobs that several methods share."""

from typing import Literal

from pydantic import Field

from app.domain.methods.card import Spec

LayerMap = Literal["uniform", "first", "last", "outer"]
Initialisation = Literal["random", "weight_copy", "weight_selection"]


class DistillationTerms(Spec):
    """A teacher's terms in the loss: (1 - w) CE + w T² KL + h MSE(hidden) + p patient + r relations.

    Of translation, where a teacher is learnt from through its translations, there is only ``logits_weight``:
    above 0 they are added to the data, at 1 they replace it. The other weights are refused there, and the
    temperature does nothing.
    """

    temperature: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Softens both distributions; default: 2 of two labels, 1 of more; of "
        "Pea-KD 10 / (labels - 1), at least 1.",
    )
    logits_weight: float = Field(
        default=0.9, ge=0, le=1, description="Share of the KL term; the labels' cross-entropy gets the rest."
    )
    hidden_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Weight of the squared distance between last hidden states. A wider teacher's are mapped "
        "as the student's own were made of them, where it starts from them, or else to their principal "
        "directions.",
    )
    patient_weight: float = Field(
        default=0.0,
        ge=0,
        le=10_000,
        description="Weight of the squared distance between normalised first-token states of matched "
        "layers, all of the student's but its last (patient distillation, Sun et al., 2019); a wider "
        "teacher's are mapped like hidden states.",
    )
    patient_layers: Literal["skip", "last"] = Field(
        default="skip", description="Which teacher layers: evenly spaced ones, or the last ones."
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
        description="Of the relations; default: as many as divide both widths, up to the teacher's heads.",
    )


class DensePhase(Spec):
    """Steps on the folded weights, after what made them has done its part."""

    dense_ratio: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the steps spent on the folded weights afterwards."
    )
