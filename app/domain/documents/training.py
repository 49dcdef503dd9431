"""How a job trains: the hyperparameters that every method shares."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from app.domain.exact_types import ExactModel
from app.domain.tasks import SELECTING_METRICS, TASKS

Precision = Literal["fp32", "int8"]


def _smoothing_by_task() -> str:
    smoothed = {name: record.label_smoothing for name, record in TASKS.items() if record.label_smoothing}
    return ", ".join(f"{smoothing:g} for {name}" for name, smoothing in smoothed.items())


if TYPE_CHECKING:
    SelectingMetric = str
else:
    SelectingMetric = Literal[SELECTING_METRICS]


class TrainingSpec(ExactModel):
    """Training hyperparameters of a job. Omitted values take the method's defaults."""

    model_config = ConfigDict(allow_inf_nan=False)

    epochs: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Training epochs; default: chosen from the number of rows and labels, see the plan.",
    )
    max_epochs: float | None = Field(
        default=None,
        gt=0,
        le=2000,
        description="Training goes on after `epochs`, up to so many, for as long as quality on dev still "
        "rises; default: twice `epochs` where those are chosen by the service, otherwise `epochs`.",
    )
    batch_size: int = Field(default=64, ge=1, le=4096, description="Examples per optimiser step.")
    micro_batch_size: int | None = Field(
        default=None, ge=1, le=4096, description="Examples per forward pass; default: the whole batch."
    )
    learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="Peak learning rate; default: chosen by the method."
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="AdamW weight decay (matrices only).")
    warmup_ratio: float = Field(
        default=0.06, ge=0, le=1, description="Fraction of steps used for learning-rate warmup."
    )
    max_gradient_norm: float = Field(default=1.0, gt=0, description="Gradient-norm clipping threshold.")
    max_length: int = Field(
        default=128, ge=4, le=512, description="Maximum input length in tokens; longer texts are truncated."
    )
    evaluations: int = Field(
        default=8,
        ge=1,
        le=200,
        description="Number of evaluations on dev during training; the best checkpoint is kept.",
    )
    metric: SelectingMetric | None = Field(
        default=None, description="Metric that selects the best checkpoint; default: the task's main metric."
    )
    label_smoothing: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description=f"Label smoothing; default: {_smoothing_by_task()}, otherwise 0.",
    )
    dropout: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Dropout rate; default: from the model's config, usually 0.1. Small data sets benefit "
        "from more.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Random seed; the same seed gives the same student on the same host.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.epochs is not None and self.max_epochs is not None and self.max_epochs < self.epochs:
            raise ValueError(f"max_epochs must be at least epochs, {self.epochs:g}")
        return self
