"""What of an encoder's ``config.json`` is kept."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain.architectures import EncoderArchitecture, EncoderFamilyName, EncoderShape, LayerUse
from app.intake.models.config_file import Activation, ConfigFile, Ratio, Size, TokenId


class Structure(BaseModel):
    """What this service's own students may have that the families have not."""

    model_config = ConfigDict(strict=True, extra="forbid")

    rank: int | None = None
    embedding: int | None = None
    schedule: list[LayerUse] | None = Field(default=None, min_length=1, max_length=96)


class EncoderConfig(ConfigFile):
    model_type: EncoderFamilyName
    initializer_range: float = Field(default=0.02, gt=0, le=1)
    squeeze: Structure | None = None

    def _card(
        self, *, layers: int, hidden: int, heads: int, ffn: int, token_types: int
    ) -> EncoderArchitecture:
        given = self.squeeze or Structure()
        if given.schedule and {use.layer for use in given.schedule} != set(range(layers)):
            raise ValueError(f"schedule must run each of the {layers} layers, and no other")
        return EncoderArchitecture(
            family=self.model_type,
            shape=EncoderShape(
                layers=layers,
                hidden=hidden,
                heads=heads,
                ffn=ffn,
                rank=given.rank,
                embedding=given.embedding,
            ),
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            token_types=token_types,
            schedule=None if given.schedule is None else tuple(given.schedule),
        )


class BertConfig(EncoderConfig):
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
    position_embedding_type: Literal["absolute"] = Field(default="absolute", exclude=True)
    is_decoder: Literal[False] = Field(default=False, exclude=True)
    add_cross_attention: Literal[False] = Field(default=False, exclude=True)

    def architecture(self) -> EncoderArchitecture:
        return self._card(
            layers=self.num_hidden_layers,
            hidden=self.hidden_size,
            heads=self.num_attention_heads,
            ffn=self.intermediate_size,
            token_types=self.type_vocab_size,
        )


class RobertaConfig(BertConfig):
    pad_token_id: TokenId = 1

    @property
    def longest_text(self) -> int:
        return self.max_position_embeddings - self.pad_token_id - 1  # positions count from the one after it


class DistilBertConfig(EncoderConfig):
    model_type: Literal["distilbert"]
    n_layers: Size
    dim: Size
    n_heads: Size
    hidden_dim: Size
    activation: Activation = "gelu"
    dropout: Ratio = 0.1
    attention_dropout: Ratio = 0.1
    seq_classif_dropout: Ratio = 0.2

    def architecture(self) -> EncoderArchitecture:
        return self._card(
            layers=self.n_layers, hidden=self.dim, heads=self.n_heads, ffn=self.hidden_dim, token_types=0
        )
