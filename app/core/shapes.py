"""How many numbers an encoder of a given shape holds, group by group. Arithmetic only, no framework."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Architecture = Literal["bert", "roberta", "xlm-roberta", "distilbert"]
"""The families whose layout this service knows, by ``model_type`` of their config."""

BYTES_PER_PARAMETER = {"fp32": 4, "int8": 1}


class Shape(BaseModel):
    """The dimensions of an encoder that compression changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: int = Field(ge=1, le=48)
    hidden: int = Field(ge=8, le=4096)
    heads: int = Field(ge=1, le=64)
    ffn: int = Field(ge=8, le=16384)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Shape":
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        return self

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    def __str__(self) -> str:
        return f"{self.layers} x {self.hidden}, {self.heads} heads, ffn {self.ffn}"


class ParameterCount(BaseModel):
    """Where the parameters of a network lie."""

    embeddings: int
    encoder: int
    head: int

    @property
    def total(self) -> int:
        return self.embeddings + self.encoder + self.head


class EncoderCard(BaseModel):
    """What the planner must know of an encoder: its family, its shape and the sizes of its tables."""

    model_config = ConfigDict(frozen=True)

    architecture: Architecture
    shape: Shape
    vocabulary: int
    positions: int
    token_types: int

    def count(self, shape: Shape | None = None, *, labels: int) -> ParameterCount:
        """Parameters of this family at ``shape`` (default: its own) with a head for ``labels`` classes.

        Equal to what the transformers classes hold; ``tests/worker/test_modeling.py`` compares the two.
        """
        s = shape or self.shape
        norm = 2 * s.hidden
        embeddings = (self.vocabulary + self.positions + self.token_types) * s.hidden + norm
        attention = 4 * (s.hidden * s.hidden + s.hidden)
        feed_forward = 2 * s.hidden * s.ffn + s.ffn + s.hidden
        # BERT's pooler, RoBERTa's dense and DistilBERT's pre_classifier are all one d x d layer.
        head = (s.hidden * s.hidden + s.hidden) + (s.hidden * labels + labels)
        return ParameterCount(
            embeddings=embeddings, encoder=s.layers * (attention + feed_forward + 2 * norm), head=head
        )

    def at(self, shape: Shape) -> "EncoderCard":
        return self.model_copy(update={"shape": shape})
