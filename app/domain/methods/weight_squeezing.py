from typing import Literal

from pydantic import Field

from app.domain.methods.card import ALL_TASKS, MethodCard, Spec
from app.domain.methods.terms import DensePhase, DistillationTerms, LayerMap


class Gate(Spec):
    """Mixes a small pretrained model with the squeezed teacher: W = (1 - g) W_pre + g L W_t R."""

    small_model: str = Field(
        pattern=r"^mdl_[0-9A-Z]{26}$", description="A registered model of the student's shape."
    )
    granularity: Literal["matrix", "row", "element", "layer"] = Field(
        default="matrix", description="How many gates: one a matrix, a row, an element, or a layer."
    )
    initial_logit: float = Field(
        default=4.0,
        ge=-20,
        le=20,
        description="g = sigmoid of this at step 0: at 4 nearly all is squeezed, at -4 nearly all the small "
        "model's. The paper's value is not known to us; 4 did best on CoLA and STS-B.",
    )


class WeightSqueezingSpec(DensePhase):
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
    gate: Gate | None = Field(default=None, description="Present: Gated Weight Squeezing.")


CARD = MethodCard(
    title="Weight Squeezing",
    papers=["https://arxiv.org/abs/2010.06993"],
    when="To carry over what the teacher knows with little data: the student's weights are learnt maps of "
    "the teacher's. Gated, they are mixed with a small pretrained model's: better than fine-tuning that "
    "one, and about as good as squeezing alone where measured. A step costs more than a plain one; the "
    "deployed student costs nothing more.",
    tasks=ALL_TASKS,
)
