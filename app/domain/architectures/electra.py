"""ELECTRA: BERT's encoder behind embeddings that may be narrower, with heads of its own."""

from dataclasses import replace
from typing import Final

from app.domain.architectures.bert import BERT_DIMENSIONS, BERT_LAYER, BertConfig, bert_embeddings
from app.domain.architectures.config import Size
from app.domain.architectures.family import EncoderFamily
from app.domain.architectures.heads import HeadModules
from app.domain.architectures.layers import LayerStack


class ElectraConfig(BertConfig):
    embedding_size: Size = 128


FAMILY: Final = EncoderFamily(
    name="electra",
    title="ELECTRA",
    class_prefix="Electra",
    config=ElectraConfig,
    dimensions=BERT_DIMENSIONS | {"embedding_size": "embedding"},
    encoder="electra",
    embeddings=replace(bert_embeddings("electra"), projection="electra.embeddings_project"),
    stack=LayerStack("electra.encoder.layer", BERT_LAYER),
    heads={
        "text": HeadModules(dense="classifier.dense", output="classifier.out_proj"),
        "token": HeadModules(output="classifier"),
        "span": HeadModules(output="qa_outputs"),
        "word": HeadModules(
            dense="generator_predictions.dense",
            norm="generator_predictions.LayerNorm",
            output="generator_lm_head",
            bias="generator_lm_head.bias",
            steps=("generator_predictions", "generator_lm_head"),
        ),
    },
    tokenizer_class="BertTokenizer",
)
