"""What the families' configs have in common."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.architectures import Architecture
from app.domain.errors import InvalidRequest

MIN_LENGTH = 8

Ratio = Annotated[float, Field(ge=0, lt=1)]
Size = Annotated[int, Field(ge=1, le=1_000_000)]
TokenId = Annotated[int, Field(ge=0)]
Activation = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish"]


class ConfigFile(BaseModel, ABC):
    """The keys that are kept. Those that are only checked are excluded."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    vocab_size: Size
    max_position_embeddings: int = Field(ge=MIN_LENGTH, le=8192)
    pad_token_id: TokenId = 0

    @abstractmethod
    def architecture(self) -> Architecture:
        """The shape and the sizes of the tables."""

    @property
    def longest_text(self) -> int:
        """Tokens that the model takes at most."""
        return self.max_position_embeddings

    @model_validator(mode="after")
    def _check(self) -> "ConfigFile":
        for name in type(self).model_fields:
            if name.endswith("_token_id") and getattr(self, name) >= self.vocab_size:
                raise ValueError(
                    f"{name} ({getattr(self, name)}) is not below vocab_size ({self.vocab_size})"
                )
        if self.longest_text < MIN_LENGTH:
            raise ValueError(f"pad_token_id ({self.pad_token_id}) leaves fewer than {MIN_LENGTH} positions")
        return self


def invalid_config(what: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_config", f"config.json: {what}. Upload the config that belongs to the weights."
    )
