"""RoBERTa: BERT's encoder with positions that begin behind the id of padding, and heads of its own."""

from typing import Final

from app.domain.architectures.bert import BERT_DIMENSIONS, BERT_LAYER, BertConfig, bert_embeddings
from app.domain.architectures.config import TokenId
from app.domain.architectures.family import EncoderFamily
from app.domain.architectures.heads import HeadModules
from app.domain.architectures.layers import LayerStack


class RobertaConfig(BertConfig):
    pad_token_id: TokenId = 1


FAMILY: Final = EncoderFamily(
    name="roberta",
    title="RoBERTa",
    class_prefix="Roberta",
    config=RobertaConfig,
    dimensions=BERT_DIMENSIONS,
    positions_behind_padding=True,
    encoder="roberta",
    embeddings=bert_embeddings("roberta"),
    stack=LayerStack("roberta.encoder.layer", BERT_LAYER),
    heads={
        "text": HeadModules(dense="classifier.dense", output="classifier.out_proj"),
        "token": HeadModules(output="classifier"),
        "span": HeadModules(output="qa_outputs"),
        "word": HeadModules(
            dense="lm_head.dense",
            norm="lm_head.layer_norm",
            output="lm_head.decoder",
            bias="lm_head.bias",
            steps=("lm_head",),
        ),
    },
    pooler="roberta.pooler.dense",
    tokenizer_class="RobertaTokenizer",
)
