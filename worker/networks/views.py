"""A network by the roles of its parts: ``view.layers[2].query`` is one, whatever its family calls it.

A view is made of a network and its architecture and holds the network's modules: where modules are replaced,
make a new one. Matrices say what their rows and columns stand for, so that whoever makes a network smaller
knows which of them lose the same indices.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from app.domain.architectures import (
    Architecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
    encoder_of,
)
from app.domain.architectures.layers import LayerKind
from worker.networks.anatomy import ANATOMIES, MARIAN, HeadParts, Stack
from worker.networks.layer_views import AttentionView, LayerView
from worker.networks.parts import Axis, Matrix, Norm, Part, Table


@dataclass(frozen=True)
class EmbeddingsView:
    """The tables whose rows are added up."""

    words: Table
    others: tuple[Table, ...] = ()
    """Positions, and token types where there are any."""

    def __iter__(self) -> Iterator[Table]:
        yield self.words
        yield from self.others


@dataclass(frozen=True)
class DistancesView:
    """Vectors of the distances between tokens, on the dimensions of the residual stream."""

    table: Table
    norm: Norm | None
    """Between it and the layers."""


@dataclass(frozen=True)
class HeadView:
    """What lies on an encoder."""

    output: Matrix
    """Gives the logits."""
    dense: Matrix | None = None
    """Between the encoder and the output."""
    norm: Norm | None = None
    """Between the dense layer and the output."""
    is_tied: bool = False
    """Whether the output's weight is the word table."""

    @property
    def reader(self) -> Matrix:
        """What reads the stream."""
        return self.dense or self.output


@dataclass(frozen=True)
class StackView:
    """One list of layers, as they are run, and the tables below it."""

    network: nn.Module = field(repr=False)
    shape: EncoderShape
    layers: tuple[LayerView, ...]
    embeddings: EmbeddingsView
    shares_layers: bool = field(default=False, kw_only=True)
    """Whether its layers are one that runs again and again."""
    relative_bias: Table | None = field(default=None, kw_only=True)
    """What a distance adds to the scores of each head, in all layers: (distances, heads)."""
    distances: DistancesView | None = field(default=None, kw_only=True)
    """What queries and keys of all layers read beside states."""
    projection: Matrix | None = field(default=None, kw_only=True)
    """From embeddings that are narrower, normed, to the residual stream."""
    has_sines: bool = field(default=False, kw_only=True)
    """Whether positions are sines, so that each residual dimension has a frequency of its own."""
    is_rotary: bool = field(default=False, kw_only=True)
    """Whether positions turn each head's dimensions in pairs, each pair with a frequency of its own."""
    final_norm: Norm | None = field(default=None, kw_only=True)
    """What follows the last layer, where norms precede blocks."""
    kinds: tuple[LayerKind, ...] = field(default=(), kw_only=True)
    """Those of its layers; a shallower stack has the first of them."""

    @property
    def norms_precede(self) -> bool:
        """Whether norms precede blocks, so that the stream is a sum of all."""
        return self.final_norm is not None

    @property
    def stream_parts(self) -> tuple[Part, ...]:
        """What gives the residual stream where each layer ends."""
        return tuple(layer.whole if self.norms_precede else layer.ffn_norm for layer in self.layers)

    @property
    def last(self) -> Norm:
        """What gives the states that lie above all layers."""
        return self.final_norm or self.layers[-1].ffn_norm


@dataclass(frozen=True)
class EncoderView(StackView):
    """An encoder and its head."""

    embedding_norm: Norm
    head: HeadView

    @property
    def stream_start(self) -> Part:
        """What gives the residual stream below all layers."""
        return self.projection or self.embedding_norm

    @property
    def stream_parts(self) -> tuple[Part, ...]:
        """What gives the residual stream: below all layers, and where each of them ends."""
        return (self.stream_start, *super().stream_parts)

    @property
    def stacks(self) -> tuple[StackView, ...]:
        return (self,)


@dataclass(frozen=True)
class TranslatorView:
    """A translation model."""

    network: nn.Module = field(repr=False)
    shape: EncoderDecoderShape
    encoder: StackView
    decoder: StackView

    @property
    def stacks(self) -> tuple[StackView, ...]:
        """In the order in which they run."""
        return self.encoder, self.decoder


NetworkView = EncoderView | TranslatorView


def network_view(network: nn.Module, architecture: Architecture) -> NetworkView:
    """See a transformer of either kind; arguments and errors are those of ``encoder_view``."""
    if isinstance(architecture, EncoderDecoderArchitecture):
        return translator_view(network, architecture)
    return encoder_view(network, architecture)


def encoder_view(network: nn.Module, architecture: Architecture) -> EncoderView:
    """See an encoder.

    Args:
        network: of that architecture, with a head of any task.
        architecture: says the family, and how many layers run with how many heads.

    Raises:
        TypeError: the architecture is of another kind.
        AttributeError: the network has no such parts.
    """
    architecture = encoder_of(architecture)
    anatomy, shape = ANATOMIES[architecture.family], architecture.shape
    parts = _Parts(network)
    words, *others = map(parts.table, architecture.record.embeddings.tables(architecture.sizes))
    projection = None
    if architecture.projects and anatomy.projection is not None:
        projection = parts.matrix(anatomy.projection, Axis.RESIDUAL, Axis.EMBEDDING)
    bias = anatomy.relative_bias
    return EncoderView(
        network=network,
        shape=shape,
        layers=tuple(parts.layer(anatomy, index, shape) for index in range(architecture.runs)),
        embeddings=EmbeddingsView(words, tuple(others)),
        embedding_norm=parts.norm(anatomy.embedding_norm),
        head=_head(parts, anatomy.head_of(network), words=Axis.EMBEDDING if projection else Axis.RESIDUAL),
        projection=projection,
        shares_layers=anatomy.record.shares_layers,
        final_norm=parts.norm(anatomy.record.final_norm) if anatomy.record.final_norm else None,
        kinds=tuple(anatomy.record.kind(index, architecture.sizes) for index in range(architecture.runs)),
        relative_bias=None if bias is None else parts.table(bias),
        distances=_distances(parts, architecture),
        has_sines=architecture.record.positions == "sinusoidal",
        is_rotary=architecture.record.positions == "rotary",
    )


def translator_view(network: nn.Module, architecture: EncoderDecoderArchitecture) -> TranslatorView:
    """See a translation model; its arguments and errors are those of ``encoder_view``."""
    parts, shape = _Parts(network), architecture.shape

    def stack(kind: str, own: Stack, dimensions: EncoderShape) -> StackView:
        name = MARIAN.word_table(shape, kind)
        is_decoder = kind == "decoder"
        layers = (
            parts.layer(own, index, dimensions, is_decoder=is_decoder) for index in range(dimensions.layers)
        )
        words = parts.table(name)
        has_sines = architecture.record.positions == "sinusoidal"
        return StackView(network, dimensions, tuple(layers), EmbeddingsView(words), has_sines=has_sines)

    return TranslatorView(
        network=network,
        shape=shape,
        encoder=stack("encoder", MARIAN.encoder, shape.encoder),
        decoder=stack("decoder", MARIAN.decoder, shape.decoder),
    )


def head_view(network: nn.Module) -> HeadView:
    """What lies on an encoder of any family.

    Raises:
        ValueError: the network has no head of a family's.
    """
    for anatomy in ANATOMIES.values():
        for head in anatomy.heads.values():
            if type(network) is head.network:
                return _head(_Parts(network), head)
    raise ValueError(f"{type(network).__name__} has no head that a family declares")


def head_parameters(network: nn.Module, architecture: Architecture) -> tuple[nn.Parameter, ...]:
    """All that lies outside the network that an encoder's family has below any head; none for other kinds."""
    if not isinstance(architecture, EncoderArchitecture):
        return ()
    inside = f"{architecture.record.encoder}."
    return tuple(value for name, value in network.named_parameters() if not name.startswith(inside))


_SELF_ATTENTION = ("query", "key", "value", "attention_output", "attention_norm")
_CROSS_ATTENTION = ("cross_query", "cross_key", "cross_value", "cross_output", "cross_norm")


class _Parts:
    """Finds parts, and counts how often each module is used on the way up."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._uses: Counter[int] = Counter()

    def module(self, name: str) -> nn.Module:
        return self._network.get_submodule(name)

    def part(self, name: str) -> Part:
        module = self.module(name)
        return Part(name, module, self._run(module))

    def table(self, name: str) -> Table:
        return Table(name, self.module(name))

    def norm(self, name: str, *, is_decoder: bool = False) -> Norm:
        module = self.module(name)
        return Norm(name, module, self._run(module), is_decoder)

    def matrix(self, name: str, rows: Axis, columns: Axis, *, sees_targets: bool = False) -> Matrix:
        module = self.module(name)
        return Matrix(name, module, self._run(module), sees_targets, rows, columns)

    def layer(self, stack: Stack, index: int, shape: EncoderShape, *, is_decoder: bool = False) -> LayerView:
        def matrix(role: str, rows: Axis, columns: Axis) -> Matrix:
            name = stack.part_name(index, role)
            return self.matrix(name, rows, columns, sees_targets=is_decoder and columns is not Axis.MEMORY)

        def norm(role: str) -> Norm:
            return self.norm(stack.part_name(index, role), is_decoder=is_decoder)

        def attention_norm(role: str) -> Norm | None:
            is_there = isinstance(self.module(stack.part_name(index, role)), nn.LayerNorm)
            return norm(role) if is_there else None

        def attention(roles: tuple[str, str, str, str, str], heads: Axis, read: Axis) -> AttentionView:
            query, key, value, output, norm_role = roles
            return AttentionView(
                query=matrix(query, heads, Axis.RESIDUAL),
                key=matrix(key, heads, read),
                value=matrix(value, heads, read),
                output=matrix(output, Axis.RESIDUAL, heads),
                norm=attention_norm(norm_role),
                heads=shape.heads,
                head_dim=shape.head_dim,
                norm_precedes=stack.record.norm_placement == "before",
            )

        own = attention(_SELF_ATTENTION, Axis.HEADS, Axis.RESIDUAL)
        cross = None
        if stack.layer.cross_query:
            cross = attention(_CROSS_ATTENTION, Axis.CROSS_HEADS, Axis.MEMORY)
        gate = matrix("ffn_gate", Axis.NEURONS, Axis.RESIDUAL) if stack.layer.ffn_gate else None
        return LayerView(
            whole=self.part(stack.record.layer_name(index)),
            attention=own,
            ffn_in=matrix("ffn_in", Axis.NEURONS, Axis.RESIDUAL),
            ffn_gate=gate,
            ffn_out=matrix("ffn_out", Axis.RESIDUAL, Axis.NEURONS),
            ffn_norm=norm("ffn_norm"),
            cross_attention=cross,
        )

    def _run(self, module: nn.Module) -> int:
        self._uses[id(module)] += 1
        return self._uses[id(module)] - 1


def _distances(parts: _Parts, architecture: EncoderArchitecture) -> DistancesView | None:
    names = architecture.record.stack.relative_embeddings
    if names is None or "relative_embeddings" not in architecture.traits:
        return None
    norm = parts.norm(names.norm) if architecture.sizes["norms_distances"] else None
    return DistancesView(parts.table(names.table), norm)


def _head(parts: _Parts, names: HeadParts, *, words: Axis = Axis.RESIDUAL) -> HeadView:
    """What lies on an encoder whose word table has its columns on ``words``."""
    if names.dense is None:
        return HeadView(parts.matrix(names.output, Axis.OUTPUTS, Axis.RESIDUAL))
    # The rows below a tied output meet the word table, and lie on its columns' indices.
    inner = words if names.is_tied else Axis.FEATURES
    return HeadView(
        dense=parts.matrix(names.dense, inner, Axis.RESIDUAL),
        norm=None if names.norm is None else parts.norm(names.norm),
        output=parts.matrix(names.output, Axis.OUTPUTS, inner),
        is_tied=names.is_tied,
    )
