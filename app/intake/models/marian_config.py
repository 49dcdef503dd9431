"""What of a Marian translation model's ``config.json`` is kept."""

from typing import Literal

from pydantic import Field, model_validator

from app.domain.architectures import EncoderDecoderArchitecture, EncoderDecoderShape
from app.intake.models.config_file import Activation, ConfigFile, Ratio, Size, TokenId


class MarianConfig(ConfigFile):
    """One word table for source, target and output; norms after each block; positions are sines.

    A student's decoder may have a width of its own (``decoder_hidden``) and then its own word table, which
    is the output's too.
    """

    model_type: Literal["marian"]
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
                f"decoder_vocab_size ({self.decoder_vocab_size}) is not vocab_size ({self.vocab_size}); both "
                "languages must share one vocabulary"
            )
        if self.share_encoder_decoder_embeddings == (self.decoder_hidden not in {None, self.d_model}):
            raise ValueError(
                "share_encoder_decoder_embeddings must be true where the decoder is as wide as the encoder, "
                "and false where decoder_hidden is another width"
            )
        return self

    def architecture(self) -> EncoderDecoderArchitecture:
        heads, ffn = self.decoder_attention_heads, self.decoder_ffn_dim
        return EncoderDecoderArchitecture(
            shape=EncoderDecoderShape(
                encoder_layers=self.encoder_layers,
                decoder_layers=self.decoder_layers,
                hidden=self.d_model,
                heads=self.encoder_attention_heads,
                ffn=self.encoder_ffn_dim,
                decoder_hidden=None if self.share_encoder_decoder_embeddings else self.decoder_hidden,
                decoder_heads=heads if heads != self.encoder_attention_heads else None,
                decoder_ffn=ffn if ffn != self.encoder_ffn_dim else None,
            ),
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
        )
