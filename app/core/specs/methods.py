"""What a client may ask of each method: one spec a method, and their union."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

LayerMap = Literal["uniform", "first", "last", "outer"]
Initialisation = Literal["random", "weight_copy"]


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class DistillationTerms(Spec):
    """The terms that a teacher adds to the loss: (1 - w) CE + w T² KL + h MSE(hidden states)."""

    temperature: float = Field(default=2.0, gt=0, le=100, description="Softens both distributions.")
    logits_weight: float = Field(
        default=0.9, ge=0, le=1, description="Share of the KL term; the labels' cross-entropy gets the rest."
    )
    hidden_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Weight of the squared distance between last hidden states, the teacher's mapped to the "
        "student's width.",
    )


class FineTuningSpec(Spec):
    """Trains a task head on an encoder and the encoder with it; the size stays."""

    name: Literal["fine_tuning"]


class ScratchSpec(Spec):
    """Trains the student's shape from random weights on the labels alone."""

    name: Literal["scratch"]


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


class DistillationSpec(Spec):
    """Trains the student on the teacher's softened predictions (Hinton et al., 2015)."""

    name: Literal["distillation"]
    initialisation: Initialisation = Field(default="random", description="Where the student starts.")
    layer_map: LayerMap = Field(default="uniform", description="For weight_copy: which layers are taken.")
    distillation: DistillationTerms = Field(
        default_factory=DistillationTerms, description="How the teacher's predictions enter the loss."
    )


class Gate(Spec):
    """Mixes a small pretrained model with the squeezed teacher: W = (1 - g) W_pre + g L W_t R."""

    small_model: str = Field(
        pattern=r"^mdl_[0-9A-Z]{26}$", description="A registered model of the student's shape."
    )
    granularity: Literal["matrix", "row", "element", "layer"] = Field(
        default="matrix", description="How many gates: one a matrix, a row, an element, or a layer."
    )
    initial_logit: float = Field(default=-4.0, ge=-20, le=20, description="g = sigmoid of this at step 0.")


class WeightSqueezingSpec(Spec):
    """Learns maps L and R with W_student = L W_teacher R, then folds them (Weight Squeezing, 2020)."""

    name: Literal["weight_squeezing"]
    initial_map: Literal["pca", "select", "svd", "gauss"] = Field(
        default="pca",
        description="Where the maps start: principal directions of the teacher's activations, refitted layer "
        "by layer; selected rows and columns; top singular directions of each matrix; or noise.",
    )
    layer_map: LayerMap = Field(
        default="uniform", description="Which teacher layers the student's come from."
    )
    map_rate_ratio: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="How fast the maps move the folded weights, as a share of the learning rate.",
    )
    distillation: DistillationTerms | None = Field(
        default=None, description="Terms from the teacher's predictions; absent: labels only."
    )
    dense_ratio: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the steps spent on the folded weights afterwards."
    )
    gate: Gate | None = Field(default=None, description="Present: Gated Weight Squeezing.")


MethodSpec = Annotated[
    FineTuningSpec | ScratchSpec | WeightCopySpec | DistillationSpec | WeightSqueezingSpec,
    Field(discriminator="name"),
]
