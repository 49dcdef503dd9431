"""What of an encoder's ``config.json`` is kept."""

from typing import Literal

from pydantic import Field

from app.core.shapes import EncoderCard, Shape
from app.registry.config_file import Activation, ConfigFile, Ratio, Size, TokenId


class BertConfig(ConfigFile):
    model_type: Literal["bert", "roberta", "xlm-roberta"]
    num_hidden_layers: Size
    hidden_size: Size
    num_attention_heads: Size
    intermediate_size: Size
    type_vocab_size: int = Field(default=2, ge=1, le=64)
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: Ratio = 0.1
    attention_probs_dropout_prob: Ratio = 0.1
    classifier_dropout: Ratio | None = None
    layer_norm_eps: float = Field(default=1e-12, gt=0, le=1e-2)
    initializer_range: float = Field(default=0.02, gt=0, le=1)
    position_embedding_type: Literal["absolute"] = Field(default="absolute", exclude=True)
    is_decoder: Literal[False] = Field(default=False, exclude=True)
    add_cross_attention: Literal[False] = Field(default=False, exclude=True)

    def card(self) -> EncoderCard:
        return EncoderCard(
            architecture=self.model_type,
            shape=Shape(
                layers=self.num_hidden_layers,
                hidden=self.hidden_size,
                heads=self.num_attention_heads,
                ffn=self.intermediate_size,
            ),
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            token_types=self.type_vocab_size,
        )


class RobertaConfig(BertConfig):
    pad_token_id: TokenId = 1

    @property
    def longest_text(self) -> int:
        return self.max_position_embeddings - self.pad_token_id - 1  # positions count from the one after it


class DistilBertConfig(ConfigFile):
    model_type: Literal["distilbert"]
    n_layers: Size
    dim: Size
    n_heads: Size
    hidden_dim: Size
    activation: Activation = "gelu"
    dropout: Ratio = 0.1
    attention_dropout: Ratio = 0.1
    seq_classif_dropout: Ratio = 0.2
    initializer_range: float = Field(default=0.02, gt=0, le=1)

    def card(self) -> EncoderCard:
        return EncoderCard(
            architecture=self.model_type,
            shape=Shape(layers=self.n_layers, hidden=self.dim, heads=self.n_heads, ffn=self.hidden_dim),
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            token_types=0,
        )
