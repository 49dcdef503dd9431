"""DeBERTa-v2 and v3: queries and keys read a table of distances as they read states."""

from dataclasses import replace
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from app.domain.architectures.bert import BERT_DIMENSIONS, BERT_LAYER, bert_embeddings
from app.domain.architectures.bert import FAMILY as BERT
from app.domain.architectures.config import Activation, EncoderConfig, Ratio, Size
from app.domain.architectures.family import EncoderFamily
from app.domain.architectures.heads import HeadModules
from app.domain.architectures.layers import LayerStack, RelativeEmbeddings


class DebertaV2Config(EncoderConfig):
    """DeBERTa's own keys.

    Queries and keys read distances by the same maps as states; a convolution beside the first layer, and
    embeddings narrower than the layers, are not supported.
    """

    num_hidden_layers: Size
    hidden_size: Size
    num_attention_heads: Size
    intermediate_size: Size
    type_vocab_size: int = Field(default=0, ge=0, le=64)
    position_biased_input: bool = True
    relative_attention: bool = False
    position_buckets: int = Field(default=-1, ge=-1, le=8192)
    max_relative_positions: int = Field(default=-1, ge=-1, le=8192)
    pos_att_type: list[Literal["c2p", "p2c"]] = Field(default_factory=list)
    share_att_key: bool = False
    norm_rel_ebd: Literal["none", "layer_norm"] = "none"
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: Ratio = 0.1
    attention_probs_dropout_prob: Ratio = 0.1
    pooler_hidden_size: Size | None = None
    pooler_hidden_act: Activation = "gelu"
    pooler_dropout: Ratio = 0.0
    cls_dropout: Ratio | None = None
    layer_norm_eps: float = Field(default=1e-7, gt=0, le=1e-2)
    conv_kernel_size: int = Field(default=0, exclude=True)
    attention_head_size: Size | None = Field(default=None, exclude=True)
    embedding_size: Size | None = Field(default=None, exclude=True)

    @field_validator("pos_att_type", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Of ``p2c|c2p``, as the first configs say it."""
        if not isinstance(value, str):
            return value
        return [kind for kind in map(str.strip, value.lower().split("|")) if kind not in {"", "none"}]

    @field_validator("conv_kernel_size")
    @classmethod
    def _refuse_convolution(cls, value: int) -> int:
        if value > 0:
            raise ValueError(f"a convolution beside the first layer (of {value} tokens) is not supported")
        return value

    @model_validator(mode="after")
    def _check_sizes(self) -> "DebertaV2Config":
        head_size = self.hidden_size // self.num_attention_heads
        for name, expected in {
            "embedding_size": self.hidden_size,
            "pooler_hidden_size": self.hidden_size,
            "attention_head_size": head_size,
        }.items():
            if getattr(self, name) not in {None, expected}:
                raise ValueError(
                    f"{name} ({getattr(self, name)}) must be {expected} where hidden_size is "
                    f"{self.hidden_size} and num_attention_heads {self.num_attention_heads}"
                )
        return self

    @model_validator(mode="after")
    def _check_distances(self) -> "DebertaV2Config":
        if self.relative_attention and self.pos_att_type and not self.share_att_key:
            raise ValueError("share_att_key must be true: distances with maps of their own are not supported")
        return self

    @property
    def absolute_positions(self) -> int:
        """Rows of the table of positions; 0: there is none."""
        return self.max_position_embeddings if self.position_biased_input else 0

    @property
    def distances(self) -> int:
        """Rows of the table of distances to both sides; 0: there is none."""
        if not self.relative_attention:
            return 0
        farthest = (self.position_buckets, self.max_relative_positions, self.max_position_embeddings)
        return 2 * next(size for size in farthest if size > 0)

    @property
    def norms_distances(self) -> bool:
        """Whether a norm follows their table."""
        return self.norm_rel_ebd == "layer_norm"


FAMILY: Final = EncoderFamily(
    name="deberta-v2",
    title="DeBERTa-v2/v3",
    class_prefix="DebertaV2",
    config=DebertaV2Config,
    dimensions=BERT_DIMENSIONS | {"pooler_hidden_size": "hidden"},
    details=("absolute_positions", "distances", "norms_distances"),
    encoder="deberta",
    embeddings=replace(bert_embeddings("deberta"), position_rows="absolute_positions"),
    stack=LayerStack(
        "deberta.encoder.layer",
        replace(
            BERT_LAYER,
            query="attention.self.query_proj",
            key="attention.self.key_proj",
            value="attention.self.value_proj",
        ),
        relative_embeddings=RelativeEmbeddings(
            table="deberta.encoder.rel_embeddings", norm="deberta.encoder.LayerNorm"
        ),
    ),
    heads={**BERT.heads, "text": HeadModules(dense="pooler.dense", output="classifier")},
    tokenizer_class="DebertaV2Tokenizer",
)
