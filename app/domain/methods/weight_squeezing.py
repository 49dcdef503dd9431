from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from pydantic import Field

from app.domain.architectures import EncoderShape, EncoderTrait
from app.domain.methods.card import ALL_TASKS, MethodCard
from app.domain.methods.spec import DistillingSpec, ModelInput, TrainingPhase, mapping_products
from app.domain.methods.terms import LAYER_MAPS, LayerMap, Settings

SMALL_MODEL: Final = "small_model"
"""The role of the model that a gate mixes with the squeezed teacher."""

_OPEN: Final = 4.0
"""The logit at which a gate starts."""


class Gate(Settings):
    """Mixes a small pretrained model with the squeezed teacher: W = (1 - g) W_pre + g L W_t R."""

    small_model: str = Field(
        pattern=r"^mdl_[0-9A-Z]{26}$", description="Id of a pretrained model with the student's shape."
    )
    granularity: Literal["matrix", "row", "element", "layer"] = Field(
        default="matrix", description="Gates per matrix, row, element or layer."
    )
    initial_logit: float = Field(
        default=_OPEN,
        ge=-20,
        le=20,
        description=f"Initial gate logit, g = sigmoid(initial_logit): at {_OPEN:g} nearly all of the mixed "
        f"weight is squeezed, at {-_OPEN:g} nearly all is the small model's. The paper does not give a "
        f"value; {_OPEN:g} did best on CoLA and STS-B.",
    )


class WeightSqueezingSpec(DistillingSpec):
    """Learns maps L and R with W_student = L W_teacher R, then folds them (Weight Squeezing, 2020)."""

    name: Literal["weight_squeezing"]
    initial_map: Literal["pca", "select", "svd", "gauss"] = Field(
        default="pca",
        description="Initial maps. `pca`: principal components of the teacher's activations, refitted layer "
        "by layer; `select`: selected rows and columns; `svd`: top singular vectors of each matrix; `gauss`: "
        "random.",
    )
    layer_map: LayerMap = Field(
        default="uniform",
        description=f"Which teacher layers the student's layers are mapped from. {LAYER_MAPS}.",
    )
    map_rate_ratio: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="Learning rate of the maps, measured by the change of the folded weights, relative to "
        "learning_rate.",
    )
    dense_ratio: float = Field(
        default=0.0, ge=0, lt=1, description="Fraction of steps that train the folded weights at the end."
    )
    gate: Gate | None = Field(default=None, description="If set, Gated Weight Squeezing.")

    card: ClassVar[MethodCard] = MethodCard(
        title="Weight Squeezing",
        papers=["https://arxiv.org/abs/2010.06993"],
        when="To keep the teacher's quality with little data: the student's weights are learned linear maps "
        "of the teacher's. Gated, they are mixed with the weights of a small pretrained model: better than "
        "fine-tuning that model, and about as good as squeezing alone where measured. Training steps cost "
        "more than plain ones; the deployed student does not.",
        tasks=ALL_TASKS,
    )

    calibration_passes: ClassVar[float] = 14

    @property
    def phases(self) -> tuple[TrainingPhase, ...]:
        return (TrainingPhase(1 - self.dense_ratio, generates=True), TrainingPhase(self.dense_ratio))

    def generating_products(self, teacher: EncoderShape, student: EncoderShape, size: float) -> float:  # noqa: ARG002 - it has the student's shape from the start
        return student.layers * mapping_products(teacher, student)

    @property
    def unsupported_traits(self) -> Mapping[EncoderTrait, str]:
        match self.initial_map:
            case "pca":
                return {"shared_layers": "initial_map pca fits each layer by itself. Use initial_map select"}
            case "select":
                return {}
            case "svd" | "gauss":
                mixes = f"initial_map {self.initial_map} mixes the dimensions within heads"
                return {"rotary_positions": f"{mixes}. Use initial_map pca or select"}

    @property
    def inputs(self) -> tuple[ModelInput, ...]:
        if self.gate is None:
            return ()
        return (ModelInput(SMALL_MODEL, self.gate.small_model, "#/method/gate/small_model"),)

    @property
    def shape_role(self) -> str | None:
        """A gate mixes two models weight by weight: the student has the small one's shape."""
        return None if self.gate is None else SMALL_MODEL
