"""Where the parts of an encoder lie, by family: the one table that maps roles to parameter names."""

from dataclasses import dataclass
from typing import Final

from torch import nn
from transformers import (
    BertForSequenceClassification,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    RobertaForSequenceClassification,
    XLMRobertaForSequenceClassification,
)

from app.core.shapes import Architecture


@dataclass(frozen=True)
class LayerParts:
    """Module names inside one encoder layer."""

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    ffn_in: str
    ffn_out: str
    ffn_norm: str


@dataclass(frozen=True)
class Anatomy:
    """Module names of a sequence classifier of one family."""

    network: type[PreTrainedModel]
    embeddings: tuple[str, ...]
    """The tables that are added up: words first."""
    embedding_norm: str
    layers: str
    """The list of layers."""
    layer: LayerParts
    head_dense: str
    """The d x d layer between the encoder and the classifier."""
    classifier: str
    shape_fields: dict[str, str]
    """Our name of a dimension -> the config's."""

    def linear(self, network: nn.Module, layer: int, role: str) -> nn.Linear:
        return linear(network, self.part_name(layer, role))

    def norm(self, network: nn.Module, layer: int, role: str) -> nn.LayerNorm:
        return norm(network, self.part_name(layer, role))

    def part_name(self, layer: int, role: str) -> str:
        return f"{self.layers}.{layer}.{getattr(self.layer, role)}"


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


def _bert_like(prefix: str, network: type[PreTrainedModel], head_dense: str, classifier: str) -> Anatomy:
    return Anatomy(
        network=network,
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
        head_dense=head_dense,
        classifier=classifier,
        shape_fields={
            "layers": "num_hidden_layers",
            "hidden": "hidden_size",
            "heads": "num_attention_heads",
            "ffn": "intermediate_size",
        },
    )


ANATOMIES: Final[dict[Architecture, Anatomy]] = {
    "bert": _bert_like("bert", BertForSequenceClassification, "bert.pooler.dense", "classifier"),
    "roberta": _bert_like(
        "roberta", RobertaForSequenceClassification, "classifier.dense", "classifier.out_proj"
    ),
    "xlm-roberta": _bert_like(
        "roberta", XLMRobertaForSequenceClassification, "classifier.dense", "classifier.out_proj"
    ),
    "distilbert": Anatomy(
        network=DistilBertForSequenceClassification,
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
        head_dense="pre_classifier",
        classifier="classifier",
        shape_fields={"layers": "n_layers", "hidden": "dim", "heads": "n_heads", "ffn": "hidden_dim"},
    ),
}
