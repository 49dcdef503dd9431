"""DistilBERT: BERT without token types and pooler, under names of its own."""

from typing import Final

from app.domain.architectures.config import Activation, EncoderConfig, Ratio, Size
from app.domain.architectures.family import EncoderFamily
from app.domain.architectures.heads import HeadModules
from app.domain.architectures.layers import Embeddings, LayerParts, LayerStack


class DistilBertConfig(EncoderConfig):
    n_layers: Size
    dim: Size
    n_heads: Size
    hidden_dim: Size
    activation: Activation = "gelu"
    dropout: Ratio = 0.1
    attention_dropout: Ratio = 0.1
    seq_classif_dropout: Ratio = 0.2


FAMILY: Final = EncoderFamily(
    name="distilbert",
    title="DistilBERT",
    class_prefix="DistilBert",
    config=DistilBertConfig,
    dimensions={
        "vocab_size": "vocabulary",
        "max_position_embeddings": "positions",
        "n_layers": "layers",
        "dim": "hidden",
        "n_heads": "heads",
        "hidden_dim": "ffn",
    },
    encoder="distilbert",
    embeddings=Embeddings(
        words="distilbert.embeddings.word_embeddings",
        positions="distilbert.embeddings.position_embeddings",
        norm="distilbert.embeddings.LayerNorm",
    ),
    stack=LayerStack(
        "distilbert.transformer.layer",
        LayerParts(
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            attention_output="attention.out_lin",
            attention_norm="sa_layer_norm",
            ffn_in="ffn.lin1",
            ffn_out="ffn.lin2",
            ffn_norm="output_layer_norm",
        ),
    ),
    heads={
        "text": HeadModules(dense="pre_classifier", output="classifier"),
        "token": HeadModules(output="classifier"),
        "span": HeadModules(output="qa_outputs"),
        "word": HeadModules(
            dense="vocab_transform",
            norm="vocab_layer_norm",
            output="vocab_projector",
            bias="vocab_projector.bias",
            steps=("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
        ),
    },
    tokenizer_class="BertTokenizer",
)
