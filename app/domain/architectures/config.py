"""What is kept of a ``config.json``: known keys of known types within bounds. Families add theirs.

Keys that are only checked, because networks with another value are not supported, are excluded.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MIN_LENGTH: Final = 8
"""Tokens that a model must at least take."""

Ratio = Annotated[float, Field(ge=0, lt=1)]
Size = Annotated[int, Field(ge=1, le=1_000_000)]
TokenId = Annotated[int, Field(ge=0)]
Activation = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish"]


class FamilyConfig(BaseModel):
    """The keys that all families have."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    model_type: str
    vocab_size: Size
    max_position_embeddings: int = Field(ge=MIN_LENGTH, le=8192)
    pad_token_id: TokenId = 0

    @model_validator(mode="after")
    def _check_token_ids(self) -> "FamilyConfig":
        for name in type(self).model_fields:
            id_ = getattr(self, name) if name.endswith("_token_id") else None
            if id_ is not None and id_ >= self.vocab_size:
                raise ValueError(f"{name} ({id_}) must be below vocab_size ({self.vocab_size})")
        return self


class LayerUse(BaseModel):
    """One layer in running order: its parameters, and whether query and key are swapped (Pea-KD)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: int = Field(ge=0)
    swapped: bool = False


class Structure(BaseModel):
    """What this service's own students may have that the families have not."""

    model_config = ConfigDict(strict=True, extra="forbid")

    rank: int | None = None
    embedding: int | None = None
    schedule: list[LayerUse] | None = Field(default=None, min_length=1, max_length=96)


class EncoderConfig(FamilyConfig):
    """The keys that all encoders have."""

    initializer_range: float = Field(default=0.02, gt=0, le=1)
    squeeze: Structure | None = None
