"""How a job trains: the knobs that every method shares."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["fp32", "int8"]


class TrainingSpec(BaseModel):
    """The optimisation of a job. What is left out takes the method's own default."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    epochs: float = Field(default=3, gt=0, le=1000, description="Passes over the training split.")
    batch_size: int = Field(default=64, ge=1, le=4096, description="Examples per optimiser step.")
    micro_batch_size: int | None = Field(
        default=None, ge=1, le=4096, description="Examples per forward pass; default: the whole batch."
    )
    learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="Peak rate; default: the method's own."
    )
    weight_decay: float = Field(
        default=0.01, ge=0, le=1, description="Of matrices, a step, times the learning rate."
    )
    warmup_ratio: float = Field(default=0.06, ge=0, le=1, description="Share of the steps that warm up.")
    max_gradient_norm: float = Field(default=1.0, gt=0, description="Longer gradients are shortened to it.")
    max_length: int = Field(default=128, ge=4, le=512, description="Longer texts are cut, in tokens.")
    evaluations: int = Field(
        default=8, ge=1, le=200, description="How often dev quality is measured; the best one is kept."
    )
    metric: Literal["accuracy", "macro_f1", "matthews", "spearman", "pearson", "f1"] | None = Field(
        default=None, description="By which the best step is kept; default: the task's main metric."
    )
    label_smoothing: float | None = Field(
        default=None, ge=0, lt=1, description="Default: 0.1 for translation, else none."
    )
    dropout: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Share of hidden values dropped in training; default: as the model's config says, "
        "usually 0.1. Little data wants more.",
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="The same seed gives the same student on the same host."
    )
