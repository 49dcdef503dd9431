"""Marian: one word table for source, target and output; norms after each block; positions are sines."""

from dataclasses import replace
from typing import Final, Literal

from pydantic import Field, model_validator

from app.domain.architectures.config import Activation, FamilyConfig, Ratio, Size, TokenId
from app.domain.architectures.family import EncoderDecoderFamily
from app.domain.architectures.layers import LayerParts, LayerStack


class MarianConfig(FamilyConfig):
    """Marian's own keys, and ``decoder_hidden``.

    A student's decoder may have a width of its own and then its own word table, which is the output's too.
    """

    d_model: Size
    encoder_layers: Size
    decoder_layers: Size
    encoder_attention_heads: Size
    decoder_attention_heads: Size
    encoder_ffn_dim: Size
    decoder_ffn_dim: Size
    decoder_vocab_size: Size | None = None
    pad_token_id: TokenId
    eos_token_id: TokenId = 0
    decoder_start_token_id: TokenId
    forced_eos_token_id: TokenId = 0
    activation_function: Activation = "gelu"
    dropout: Ratio = 0.1
    attention_dropout: Ratio = 0.0
    activation_dropout: Ratio = 0.0
    init_std: float = Field(default=0.02, gt=0, le=1)
    scale_embedding: bool = False
    num_beams: int | None = Field(default=None, ge=1, le=64)
    max_length: int | None = Field(default=None, ge=1, le=8192)
    decoder_hidden: Size | None = None
    share_encoder_decoder_embeddings: bool = True
    tie_word_embeddings: Literal[True] = True
    static_position_embeddings: Literal[True] = True
    is_encoder_decoder: Literal[True] = True
    normalize_before: Literal[False] = Field(default=False, exclude=True)
    normalize_embedding: Literal[False] = Field(default=False, exclude=True)
    add_final_layer_norm: Literal[False] = Field(default=False, exclude=True)

    @model_validator(mode="after")
    def _check_words(self) -> "MarianConfig":
        if self.decoder_vocab_size not in {None, self.vocab_size}:
            raise ValueError(
                f"decoder_vocab_size ({self.decoder_vocab_size}) is not vocab_size ({self.vocab_size}); "
                "separate vocabularies for source and target are not supported"
            )
        if self.share_encoder_decoder_embeddings == (self.decoder_hidden not in {None, self.d_model}):
            raise ValueError(
                "share_encoder_decoder_embeddings must be true if decoder_hidden equals the encoder's "
                "hidden size, and false otherwise"
            )
        return self


_ENCODER_LAYER = LayerParts(
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.out_proj",
    attention_norm="self_attn_layer_norm",
    ffn_in="fc1",
    ffn_out="fc2",
    ffn_norm="final_layer_norm",
)

_DECODER_LAYER = replace(
    _ENCODER_LAYER,
    cross_query="encoder_attn.q_proj",
    cross_key="encoder_attn.k_proj",
    cross_value="encoder_attn.v_proj",
    cross_output="encoder_attn.out_proj",
    cross_norm="encoder_attn_layer_norm",
)

FAMILY: Final = EncoderDecoderFamily(
    name="marian",
    title="Marian",
    class_name="MarianMTModel",
    config=MarianConfig,
    dimensions={
        "vocab_size": "vocabulary",
        "decoder_vocab_size": "vocabulary",
        "max_position_embeddings": "positions",
        "encoder_layers": "encoder_layers",
        "d_model": "hidden",
        "encoder_attention_heads": "heads",
        "encoder_ffn_dim": "ffn",
        "decoder_layers": "decoder_layers",
        "decoder_hidden": "decoder_hidden",
        "decoder_attention_heads": "decoder_heads",
        "decoder_ffn_dim": "decoder_ffn",
        "share_encoder_decoder_embeddings": "shares_embeddings",
    },
    positions="sinusoidal",
    encoder=LayerStack("model.encoder.layers", _ENCODER_LAYER),
    decoder=LayerStack("model.decoder.layers", _DECODER_LAYER),
    shared_words="model.shared",
    encoder_words="model.encoder.embed_tokens",
    decoder_words="model.decoder.embed_tokens",
    output="lm_head",
    output_bias="final_logits_bias",
    sines={"encoder": "model.encoder.embed_positions", "decoder": "model.decoder.embed_positions"},
    task="translation",
    tokenizer_class="MarianTokenizer",
)
