"""ALBERT: one layer that runs many times, behind factorised embeddings."""

from dataclasses import replace
from typing import Final, Literal

from app.domain.architectures.bert import BERT_DIMENSIONS, BertConfig, bert_embeddings
from app.domain.architectures.config import Activation, Ratio, Size
from app.domain.architectures.family import EncoderFamily
from app.domain.architectures.heads import HeadModules
from app.domain.architectures.layers import LayerParts, LayerStack


class AlbertConfig(BertConfig):
    embedding_size: Size = 128
    hidden_act: Activation = "gelu_new"
    hidden_dropout_prob: Ratio = 0.0
    attention_probs_dropout_prob: Ratio = 0.0
    classifier_dropout_prob: Ratio = 0.1
    num_hidden_groups: Literal[1] = 1
    inner_group_num: Literal[1] = 1


FAMILY: Final = EncoderFamily(
    name="albert",
    title="ALBERT",
    class_prefix="Albert",
    config=AlbertConfig,
    dimensions=BERT_DIMENSIONS | {"embedding_size": "embedding"},
    encoder="albert",
    embeddings=replace(
        bert_embeddings("albert"),
        projection="albert.encoder.embedding_hidden_mapping_in",
        always_projects=True,
    ),
    stack=LayerStack(
        "albert.encoder.albert_layer_groups.0.albert_layers",
        LayerParts(
            query="attention.query",
            key="attention.key",
            value="attention.value",
            attention_output="attention.dense",
            attention_norm="attention.LayerNorm",
            ffn_in="ffn",
            ffn_out="ffn_output",
            ffn_norm="full_layer_layer_norm",
        ),
        shares_layers=True,
    ),
    heads={
        "text": HeadModules(dense="albert.pooler", output="classifier"),
        "token": HeadModules(output="classifier"),
        "span": HeadModules(output="qa_outputs"),
        "word": HeadModules(
            dense="predictions.dense",
            norm="predictions.LayerNorm",
            output="predictions.decoder",
            bias="predictions.bias",
            steps=("predictions",),
        ),
    },
    pooler="albert.pooler",
    tokenizer_class="AlbertTokenizer",
)
