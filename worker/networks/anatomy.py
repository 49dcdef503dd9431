"""Where the parts of a network lie, by family: the records of the domain, bound to classes and modules."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import transformers
from torch import nn
from transformers import PreTrainedModel

from app.domain.architectures import (
    ENCODER_DECODERS,
    ENCODERS,
    HEAD_KINDS,
    Architecture,
    BiLstmArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderFamily,
    EncoderDecoderShape,
    EncoderFamily,
    StaticArchitecture,
    TfidfArchitecture,
    head_kind,
)
from app.domain.architectures.layers import LayerParts, LayerStack
from app.domain.tasks import TASKS, Task
from worker.networks import bilstm, static, tfidf
from worker.networks.marian import NarrowDecoderMarian
from worker.networks.pooled import pooled_class

__all__ = ["ANATOMIES", "MARIAN", "Anatomy", "EncoderDecoderAnatomy", "HeadParts", "LayerParts", "Stack"]


@dataclass(frozen=True)
class Stack:
    """Module names of one list of layers."""

    record: LayerStack

    @property
    def layers(self) -> str:
        """The list of layers."""
        return self.record.layers

    @property
    def layer(self) -> LayerParts:
        return self.record.layer

    def part_name(self, layer: int, role: str) -> str:
        return f"{self.record.layer_name(layer)}.{self.layer.module(role)}"


@dataclass(frozen=True)
class HeadParts:
    """A network class of one family, and the module names of what lies on its encoder."""

    network: type[PreTrainedModel]
    output: str
    """Gives the logits."""
    dense: str | None = None
    """The layer between the encoder and the output."""
    norm: str | None = None
    """Between the dense layer and the output."""
    is_tied: bool = False
    """Whether the output's matrix is the word table's."""
    steps: tuple[str, ...] = ()
    """The modules that make words of states, in the order they run in."""


@dataclass(frozen=True)
class Anatomy(Stack):
    """Module names of the encoders of one family."""

    encoder: str
    """The network below any head."""
    heads: Mapping[Task, HeadParts]
    embedding_norm: str
    projection: str | None
    """From narrower tables to the width of the layers, in networks that have it."""
    relative_bias: str | None
    """The table of what distances add to the scores of each head."""

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

    def word_table(self, shape: EncoderDecoderShape, stack: str) -> str:
        """The table from which the encoder or the decoder reads."""
        if shape.shares_embeddings:
            return self.shared_words
        return {"encoder": self.encoder_words, "decoder": self.decoder_words}[stack]


def _anatomy(family: EncoderFamily) -> Anatomy:
    bias = family.stack.relative_bias
    return Anatomy(
        record=family.stack,
        encoder=family.encoder,
        heads={task: _head_parts(family, task) for task, kind in HEAD_KINDS.items() if kind in family.heads},
        embedding_norm=family.embeddings.norm,
        projection=family.embeddings.projection,
        relative_bias=None if bias is None else bias.table,
    )


def _head_parts(family: EncoderFamily, task: Task) -> HeadParts:
    kind = head_kind(task)
    head = family.heads[kind]
    return HeadParts(
        network=pooled_class(family) if kind == "vector" else _transformers_class(family.class_name(kind)),
        output=head.output,
        dense=head.dense,
        norm=head.norm,
        is_tied=head.is_tied,
        steps=head.steps,
    )


def _encoder_decoder_anatomy(family: EncoderDecoderFamily) -> EncoderDecoderAnatomy:
    return EncoderDecoderAnatomy(
        encoder=Stack(family.encoder),
        decoder=Stack(family.decoder),
        shared_words=family.shared_words,
        encoder_words=family.encoder_words,
        decoder_words=family.decoder_words,
    )


def _transformers_class(name: str) -> type[PreTrainedModel]:
    return cast("type[PreTrainedModel]", getattr(transformers, name))


ANATOMIES: Final = {name: _anatomy(family) for name, family in ENCODERS.items()}
MARIAN: Final = _encoder_decoder_anatomy(ENCODER_DECODERS["marian"])


def word_head(network: nn.Module) -> HeadParts:
    """The head of a masked-language model."""
    heads = [anatomy.heads["masked_language_modeling"] for anatomy in ANATOMIES.values()]
    return next(head for head in heads if type(network) is head.network)


def network_class(architecture: Architecture, task: Task) -> type[PreTrainedModel]:
    """The class of an architecture's networks for a task."""
    head = TASKS[task].head
    if isinstance(architecture, EncoderDecoderArchitecture):
        name = architecture.class_name(head)
        return NarrowDecoderMarian if name is None else _transformers_class(name)
    if isinstance(architecture, StaticArchitecture):
        return static.StaticEmbedding
    if isinstance(architecture, BiLstmArchitecture):
        return cast("type[PreTrainedModel]", getattr(bilstm, architecture.class_name(head)))
    if isinstance(architecture, TfidfArchitecture):
        return cast("type[PreTrainedModel]", getattr(tfidf, architecture.class_name(head)))
    return ANATOMIES[architecture.family].heads[task].network
