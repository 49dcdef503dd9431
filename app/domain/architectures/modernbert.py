"""ModernBERT: norms before blocks, rotary positions, attention to near tokens in most layers, gated ffn."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.architectures.config import Activation, EncoderConfig, Ratio, Size, TokenId
from app.domain.architectures.family import EncoderFamily
from app.domain.architectures.heads import HeadModules
from app.domain.architectures.layers import Embeddings, LayerParts, LayerStack

_LayerType = Literal["full_attention", "sliding_attention"]
_USUAL_EVERY: Final = 3


class _Rope(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    rope_type: Literal["default"] = "default"
    rope_theta: float | None = Field(default=None, gt=0)


class ModernBertConfig(EncoderConfig):
    """ModernBERT's own keys as its first configs have them, which all versions of transformers read.

    What the configs of today say in other keys is read, and kept in these.
    """

    num_hidden_layers: Size
    hidden_size: Size
    num_attention_heads: Size
    intermediate_size: Size
    hidden_activation: Activation = "gelu"
    initializer_cutoff_factor: float = Field(default=2.0, gt=0, le=10)
    norm_eps: float = Field(default=1e-5, gt=0, le=1e-2)
    local_attention: int = Field(default=128, ge=2, le=16384)
    global_attn_every_n_layers: Size | None = None
    layer_types: list[_LayerType] | None = Field(default=None, min_length=1, max_length=48, exclude=True)
    global_rope_theta: float = Field(default=160_000.0, gt=0)
    local_rope_theta: float = Field(default=10_000.0, gt=0)
    rope_parameters: dict[_LayerType, _Rope | None] = Field(default_factory=dict, exclude=True)
    rope_scaling: None = Field(default=None, exclude=True)
    embedding_dropout: Ratio = 0.0
    attention_dropout: Ratio = 0.0
    mlp_dropout: Ratio = 0.0
    classifier_dropout: Ratio = 0.0
    classifier_pooling: Literal["cls", "mean"] = "cls"
    classifier_activation: Activation = "gelu"
    pad_token_id: TokenId = 50_283
    cls_token_id: TokenId | None = None
    sep_token_id: TokenId | None = None
    bos_token_id: TokenId | None = None
    eos_token_id: TokenId | None = None
    attention_bias: Literal[False] = Field(default=False, exclude=True)
    mlp_bias: Literal[False] = Field(default=False, exclude=True)
    norm_bias: Literal[False] = Field(default=False, exclude=True)
    classifier_bias: Literal[False] = Field(default=False, exclude=True)
    decoder_bias: Literal[True] = Field(default=True, exclude=True)

    @model_validator(mode="after")
    def _check_head_size(self) -> "ModernBertConfig":
        if self.hidden_size // self.num_attention_heads % 2:
            raise ValueError("hidden_size / num_attention_heads must be even, as rotary positions need it")
        return self

    @model_validator(mode="after")
    def _read_thetas(self) -> "ModernBertConfig":
        ropes = {kind: rope or _Rope() for kind, rope in self.rope_parameters.items()}
        self.global_rope_theta = ropes.get("full_attention", _Rope()).rope_theta or self.global_rope_theta
        self.local_rope_theta = ropes.get("sliding_attention", _Rope()).rope_theta or self.local_rope_theta
        return self

    @model_validator(mode="after")
    def _read_layer_types(self) -> "ModernBertConfig":
        said = self.global_attn_every_n_layers or _USUAL_EVERY
        if self.layer_types is not None:
            layers = self.num_hidden_layers
            fitting = (
                every for every in (said, *range(1, layers + 1)) if self.layer_types == _types(layers, every)
            )
            every = next(fitting, None)
            if every is None:
                raise ValueError(
                    "layer_types must be full_attention in every n-th layer, beginning with the first, and "
                    "sliding_attention in all others"
                )
            said = every
        self.global_attn_every_n_layers = said
        return self


def _types(layers: int, every: int) -> list[_LayerType]:
    return ["sliding_attention" if layer % every else "full_attention" for layer in range(layers)]


FAMILY: Final = EncoderFamily(
    name="modernbert",
    title="ModernBERT",
    class_prefix="ModernBert",
    config=ModernBertConfig,
    dimensions={
        "vocab_size": "vocabulary",
        "max_position_embeddings": "positions",
        "num_hidden_layers": "layers",
        "hidden_size": "hidden",
        "num_attention_heads": "heads",
        "intermediate_size": "ffn",
        "global_attn_every_n_layers": "global_every",
    },
    details=("global_every",),
    computed={"layer_types": lambda sizes: _types(sizes["layers"], sizes["global_every"])},
    positions="rotary",
    encoder="model",
    embeddings=Embeddings(
        words="model.embeddings.tok_embeddings",
        positions=None,
        norm="model.embeddings.norm",
        biases=False,
    ),
    stack=LayerStack(
        "model.layers",
        LayerParts(
            query="attn.Wqkv",
            key="attn.Wqkv",
            value="attn.Wqkv",
            attention_output="attn.Wo",
            attention_norm="attn_norm",
            ffn_in="mlp.Wi",
            ffn_gate="mlp.Wi",
            ffn_out="mlp.Wo",
            ffn_norm="mlp_norm",
        ),
        norm_placement="before",
        final_norm="model.final_norm",
        first_reads_embeddings=True,
        biases=False,
    ),
    heads={
        "text": HeadModules(dense="head.dense", norm="head.norm", biases=False, output="classifier"),
        "token": HeadModules(dense="head.dense", norm="head.norm", biases=False, output="classifier"),
        "span": HeadModules(dense="head.dense", norm="head.norm", biases=False, output="classifier"),
        "word": HeadModules(
            dense="head.dense",
            norm="head.norm",
            biases=False,
            output="decoder",
            bias="decoder.bias",
            steps=("head", "decoder"),
        ),
    },
)
