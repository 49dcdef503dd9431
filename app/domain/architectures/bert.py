"""BERT: absolute positions, norms after each block, a pooler below the classifier of texts."""

from typing import Final, Literal

from pydantic import Field

from app.domain.architectures.config import Activation, EncoderConfig, Ratio, Size
from app.domain.architectures.family import EncoderFamily
from app.domain.architectures.heads import HeadModules
from app.domain.architectures.layers import Embeddings, LayerParts, LayerStack


class BertConfig(EncoderConfig):
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


BERT_DIMENSIONS: Final = {
    "vocab_size": "vocabulary",
    "max_position_embeddings": "positions",
    "type_vocab_size": "token_types",
    "num_hidden_layers": "layers",
    "hidden_size": "hidden",
    "num_attention_heads": "heads",
    "intermediate_size": "ffn",
}

BERT_LAYER: Final = LayerParts(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    ffn_norm="output.LayerNorm",
)


def bert_embeddings(encoder: str) -> Embeddings:
    return Embeddings(
        words=f"{encoder}.embeddings.word_embeddings",
        positions=f"{encoder}.embeddings.position_embeddings",
        token_types=f"{encoder}.embeddings.token_type_embeddings",
        norm=f"{encoder}.embeddings.LayerNorm",
    )


FAMILY: Final = EncoderFamily(
    name="bert",
    title="BERT",
    class_prefix="Bert",
    config=BertConfig,
    dimensions=BERT_DIMENSIONS,
    encoder="bert",
    embeddings=bert_embeddings("bert"),
    stack=LayerStack("bert.encoder.layer", BERT_LAYER),
    heads={
        "text": HeadModules(dense="bert.pooler.dense", output="classifier"),
        "token": HeadModules(output="classifier"),
        "span": HeadModules(output="qa_outputs"),
        "word": HeadModules(
            dense="cls.predictions.transform.dense",
            norm="cls.predictions.transform.LayerNorm",
            output="cls.predictions.decoder",
            bias="cls.predictions.bias",
            steps=("cls",),
        ),
    },
    pooler="bert.pooler.dense",
    tokenizer_class="BertTokenizer",
)
