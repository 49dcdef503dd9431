"""Where the parts of a network lie, by family: the one table that maps roles to parameter names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import nn
from transformers import (
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    MarianMTModel,
    PreTrainedModel,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    XLMRobertaForMaskedLM,
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
)

from app.domain.architectures import (
    Architecture,
    BiLstmArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    FamilyName,
)
from app.domain.tasks import Task
from worker.networks.bilstm import BiLstmForSequenceClassification, BiLstmForTokenClassification
from worker.networks.marian import NarrowDecoderMarian


@dataclass(frozen=True)
class LayerParts:
    """Module names inside one layer; a decoder's reads the encoder between attention and ffn."""

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    ffn_in: str
    ffn_out: str
    ffn_norm: str
    cross_query: str = ""
    cross_key: str = ""
    cross_value: str = ""
    cross_output: str = ""
    cross_norm: str = ""


@dataclass(frozen=True)
class Stack:
    """Module names of one list of layers."""

    layers: str
    """The list of layers."""
    layer: LayerParts

    def linear(self, network: nn.Module, layer: int, role: str) -> nn.Linear:
        return linear(network, self.part_name(layer, role))

    def norm(self, network: nn.Module, layer: int, role: str) -> nn.LayerNorm:
        return norm(network, self.part_name(layer, role))

    def part_name(self, layer: int, role: str) -> str:
        return f"{self.layers}.{layer}.{getattr(self.layer, role)}"


@dataclass(frozen=True)
class HeadParts:
    """A network class of one family, and the module names of what lies on its encoder."""

    network: type[PreTrainedModel]
    output: str
    """Gives the logits. Its matrix is the word table's where there is a norm."""
    dense: str | None = None
    """The d x d layer between the encoder and the output."""
    norm: str | None = None
    """Between the dense layer and the output of a masked-language model."""


@dataclass(frozen=True)
class Anatomy(Stack):
    """Module names of the encoders of one family."""

    encoder: str
    """The network below any head."""
    heads: Mapping[Task, HeadParts]
    embeddings: tuple[str, ...]
    """The tables that are added up: words first."""
    embedding_norm: str
    shape_fields: dict[str, str]
    """Our name of a dimension -> the config's."""

    def head_of(self, network: nn.Module) -> HeadParts:
        """The head that a network of this family has."""
        return next(head for head in self.heads.values() if type(network) is head.network)


@dataclass(frozen=True)
class EncoderDecoderAnatomy:
    """Module names of the translation models of one family."""

    encoder: Stack
    decoder: Stack
    shared_words: str
    """The one word table, where there is one."""
    encoder_words: str
    decoder_words: str
    shape_fields: dict[str, str]
    """Our name of a dimension, dots included -> the config's."""

    def word_table(self, shape: EncoderDecoderShape, stack: str) -> str:
        """The table from which the encoder or the decoder reads."""
        if shape.shares_embeddings:
            return self.shared_words
        return {"encoder": self.encoder_words, "decoder": self.decoder_words}[stack]

    def word_tables(self, shape: EncoderDecoderShape) -> dict[str, str]:
        """Each table once, and the stack whose width it has; the decoder's is the output's too."""
        return {self.word_table(shape, stack): stack for stack in ("encoder", "decoder")}


def linear(network: nn.Module, name: str) -> nn.Linear:
    module = network.get_submodule(name)
    assert isinstance(module, nn.Linear)
    return module


def norm(network: nn.Module, name: str) -> nn.LayerNorm:
    module = network.get_submodule(name)
    assert isinstance(module, nn.LayerNorm)
    return module


def embedding(network: nn.Module, name: str) -> nn.Embedding:
    module = network.get_submodule(name)
    assert isinstance(module, nn.Embedding)
    return module


def _bert_like(prefix: str, heads: Mapping[Task, HeadParts]) -> Anatomy:
    return Anatomy(
        encoder=prefix,
        heads=heads,
        embeddings=tuple(
            f"{prefix}.embeddings.{table}_embeddings" for table in ("word", "position", "token_type")
        ),
        embedding_norm=f"{prefix}.embeddings.LayerNorm",
        layers=f"{prefix}.encoder.layer",
        layer=LayerParts(
            query="attention.self.query",
            key="attention.self.key",
            value="attention.self.value",
            attention_output="attention.output.dense",
            attention_norm="attention.output.LayerNorm",
            ffn_in="intermediate.dense",
            ffn_out="output.dense",
            ffn_norm="output.LayerNorm",
        ),
        shape_fields={
            "layers": "num_hidden_layers",
            "hidden": "hidden_size",
            "heads": "num_attention_heads",
            "ffn": "intermediate_size",
        },
    )


def _heads(
    text: type[PreTrainedModel],
    token: type[PreTrainedModel],
    word: type[PreTrainedModel],
    *,
    text_parts: tuple[str, str],
    word_parts: tuple[str, str, str],
) -> Mapping[Task, HeadParts]:
    """The heads of a family: of texts (dense, output), of tokens, and of words (dense, norm, output)."""
    of_text = HeadParts(text, dense=text_parts[0], output=text_parts[1])
    return {
        "text_classification": of_text,
        "text_regression": of_text,
        "token_classification": HeadParts(token, output="classifier"),
        "masked_language_modeling": HeadParts(
            word, dense=word_parts[0], norm=word_parts[1], output=word_parts[2]
        ),
    }


_ROBERTA_TEXT = ("classifier.dense", "classifier.out_proj")
_ROBERTA_WORD = ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder")

ANATOMIES: Final[dict[FamilyName, Anatomy]] = {
    "bert": _bert_like(
        "bert",
        _heads(
            BertForSequenceClassification,
            BertForTokenClassification,
            BertForMaskedLM,
            text_parts=("bert.pooler.dense", "classifier"),
            word_parts=(
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                "cls.predictions.decoder",
            ),
        ),
    ),
    "roberta": _bert_like(
        "roberta",
        _heads(
            RobertaForSequenceClassification,
            RobertaForTokenClassification,
            RobertaForMaskedLM,
            text_parts=_ROBERTA_TEXT,
            word_parts=_ROBERTA_WORD,
        ),
    ),
    "xlm-roberta": _bert_like(
        "roberta",
        _heads(
            XLMRobertaForSequenceClassification,
            XLMRobertaForTokenClassification,
            XLMRobertaForMaskedLM,
            text_parts=_ROBERTA_TEXT,
            word_parts=_ROBERTA_WORD,
        ),
    ),
    "distilbert": Anatomy(
        encoder="distilbert",
        heads=_heads(
            DistilBertForSequenceClassification,
            DistilBertForTokenClassification,
            DistilBertForMaskedLM,
            text_parts=("pre_classifier", "classifier"),
            word_parts=("vocab_transform", "vocab_layer_norm", "vocab_projector"),
        ),
        embeddings=("distilbert.embeddings.word_embeddings", "distilbert.embeddings.position_embeddings"),
        embedding_norm="distilbert.embeddings.LayerNorm",
        layers="distilbert.transformer.layer",
        layer=LayerParts(
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            attention_output="attention.out_lin",
            attention_norm="sa_layer_norm",
            ffn_in="ffn.lin1",
            ffn_out="ffn.lin2",
            ffn_norm="output_layer_norm",
        ),
        shape_fields={"layers": "n_layers", "hidden": "dim", "heads": "n_heads", "ffn": "hidden_dim"},
    ),
}


def _marian_layer(**cross: str) -> LayerParts:
    return LayerParts(
        query="self_attn.q_proj",
        key="self_attn.k_proj",
        value="self_attn.v_proj",
        attention_output="self_attn.out_proj",
        attention_norm="self_attn_layer_norm",
        ffn_in="fc1",
        ffn_out="fc2",
        ffn_norm="final_layer_norm",
        **cross,
    )


MARIAN: Final = EncoderDecoderAnatomy(
    encoder=Stack(layers="model.encoder.layers", layer=_marian_layer()),
    decoder=Stack(
        layers="model.decoder.layers",
        layer=_marian_layer(
            cross_query="encoder_attn.q_proj",
            cross_key="encoder_attn.k_proj",
            cross_value="encoder_attn.v_proj",
            cross_output="encoder_attn.out_proj",
            cross_norm="encoder_attn_layer_norm",
        ),
    ),
    shared_words="model.shared",
    encoder_words="model.encoder.embed_tokens",
    decoder_words="model.decoder.embed_tokens",
    shape_fields={
        "encoder_layers": "encoder_layers",
        "hidden": "d_model",
        "heads": "encoder_attention_heads",
        "ffn": "encoder_ffn_dim",
        "decoder_layers": "decoder_layers",
        "decoder.hidden": "decoder_hidden",
        "decoder.heads": "decoder_attention_heads",
        "decoder.ffn": "decoder_ffn_dim",
        "shares_embeddings": "share_encoder_decoder_embeddings",
    },
)


BILSTMS: Final[dict[Task, type[PreTrainedModel]]] = {
    "text_classification": BiLstmForSequenceClassification,
    "token_classification": BiLstmForTokenClassification,
}


def text_output(network: PreTrainedModel) -> nn.Linear:
    """The layer that gives an encoder's answer for a text."""
    heads = [anatomy.heads["text_regression"] for anatomy in ANATOMIES.values()]
    return linear(network, next(head.output for head in heads if type(network) is head.network))


def network_class(architecture: Architecture, task: Task) -> type[PreTrainedModel]:
    """The class of an architecture's networks for a task."""
    if isinstance(architecture, EncoderDecoderArchitecture):
        return MarianMTModel if architecture.shape.shares_embeddings else NarrowDecoderMarian
    if isinstance(architecture, BiLstmArchitecture):
        return BILSTMS[task]
    return ANATOMIES[architecture.family].heads[task].network
