"""How small a student must be: one size limit, or a shape."""

from typing import Final, get_args

from pydantic import ConfigDict, Field, model_validator

from app.domain.architectures import AnyShape
from app.domain.exact_types import ExactModel
from app.domain.methods.card import SizeConstraint

SIZE_CONSTRAINTS: Final[tuple[str, ...]] = get_args(SizeConstraint)


class Target(ExactModel):
    """Exactly one size limit or shape, optionally with a smaller vocabulary or factorised embeddings."""

    model_config = ConfigDict(allow_inf_nan=False)

    compression_ratio: float | None = Field(
        default=None, gt=1, le=1000, description="Minimum ratio of teacher parameters to student parameters."
    )
    max_parameters: int | None = Field(default=None, gt=0, description="Maximum number of parameters.")
    max_size_mb: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Maximum size of the fp32 weights in megabytes (10^6 bytes).",
    )
    max_latency_ms: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Maximum fp32 latency of one text on the worker's CPU in milliseconds; measured when "
        "the job starts.",
    )
    shape: AnyShape | None = Field(default=None, description="Explicit dimensions of the student.")
    vocabulary_size: int | None = Field(
        default=None,
        ge=100,
        le=1_000_000,
        description="Vocabulary size of the student: the data set's most frequent tokens are kept and, if "
        "there is room, others made of its characters. The tokenizer is trimmed to match. Default: all, or "
        "as many as the plan names where a size is bounded, words would be most of the student and there is "
        "text enough to choose them from.",
    )
    dimensions: int | None = Field(
        default=None,
        ge=2,
        le=16384,
        # A worker of an earlier version refuses members that it does not know.
        exclude_if=lambda dimensions: dimensions is None,
        description="For sentence_embedding: dimensions of the student's vectors, which are then the "
        "teacher's on their principal directions, strongest first, so that they may be cut off further; "
        "default: the teacher's own.",
    )
    embedding_size: int | None = Field(
        default=None,
        ge=4,
        le=4096,
        description="Embedding size of a factorised embedding, projected to the student's hidden size; "
        "encoders only.",
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
