"""MPNet: absolute positions and a relative bias that all layers share; no token types."""

from typing import Final, Literal

from pydantic import Field

from app.domain.architectures.config import Activation, EncoderConfig, Ratio, Size
from app.domain.architectures.family import EncoderFamily
from app.domain.architectures.layers import Embeddings, LayerParts, LayerStack, RelativeBias
from app.domain.architectures.roberta import FAMILY as ROBERTA


class MPNetConfig(EncoderConfig):
    num_hidden_layers: Size
    hidden_size: Size
    num_attention_heads: Size
    intermediate_size: Size
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: Ratio = 0.1
    attention_probs_dropout_prob: Ratio = 0.1
    layer_norm_eps: float = Field(default=1e-12, gt=0, le=1e-2)
    relative_attention_num_buckets: Literal[32] = 32
    pad_token_id: Literal[1] = 1
    """Positions begin behind it, whatever a config says."""


FAMILY: Final = EncoderFamily(
    name="mpnet",
    title="MPNet",
    class_prefix="MPNet",
    config=MPNetConfig,
    dimensions={
        "vocab_size": "vocabulary",
        "max_position_embeddings": "positions",
        "num_hidden_layers": "layers",
        "hidden_size": "hidden",
        "num_attention_heads": "heads",
        "intermediate_size": "ffn",
    },
    positions_behind_padding=True,
    encoder="mpnet",
    embeddings=Embeddings(
        words="mpnet.embeddings.word_embeddings",
        positions="mpnet.embeddings.position_embeddings",
        norm="mpnet.embeddings.LayerNorm",
    ),
    stack=LayerStack(
        "mpnet.encoder.layer",
        LayerParts(
            query="attention.attn.q",
            key="attention.attn.k",
            value="attention.attn.v",
            attention_output="attention.attn.o",
            attention_norm="attention.LayerNorm",
            ffn_in="intermediate.dense",
            ffn_out="output.dense",
            ffn_norm="output.LayerNorm",
        ),
        relative_bias=RelativeBias("mpnet.encoder.relative_attention_bias", buckets=32),
    ),
    heads=ROBERTA.heads,
    pooler="mpnet.pooler.dense",
    tokenizer_class="MPNetTokenizer",
)
