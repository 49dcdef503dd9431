"""How small a student must be: one bound, or a shape."""

from typing import Final, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.architectures import AnyShape
from app.domain.methods.card import SizeConstraint

SIZE_CONSTRAINTS: Final[tuple[str, ...]] = get_args(SizeConstraint)


class Target(BaseModel):
    """Exactly one bound or shape, and what may be done about the words, which fill small students."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    compression_ratio: float | None = Field(
        default=None, gt=1, le=1000, description="Teacher parameters over student parameters, at least."
    )
    max_parameters: int | None = Field(default=None, gt=0, description="Parameters, at most.")
    max_size_mb: float | None = Field(
        default=None, gt=0, le=1_000_000, description="Megabytes (10^6 bytes) of fp32 weights, at most."
    )
    max_latency_ms: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Milliseconds of one text on the worker's CPU, in fp32, at most; measured when the job "
        "begins.",
    )
    shape: AnyShape | None = Field(default=None, description="The student's dimensions themselves.")
    vocabulary: int | None = Field(
        default=None,
        ge=100,
        le=1_000_000,
        description="Words to keep, the most frequent of the data set's and, where these leave room, others "
        "of its letters; default: all. The tokenizer is trimmed with the table.",
    )
    embedding: int | None = Field(
        default=None,
        ge=4,
        le=4096,
        description="Width of the word table, which a matrix then brings to the student's width; of "
        "encoders.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> "Target":
        given = [name for name in SIZE_CONSTRAINTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(SIZE_CONSTRAINTS[:-1])} and {SIZE_CONSTRAINTS[-1]}; got "
                f"{', '.join(given) or 'none'}"
            )
        return self
