"""The layers and embeddings of a transformer: module names by role, and the tensors that follow from them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias

from app.domain.architectures.tensors import Shapes, linear, norm, parameters, product, table

Sizes: TypeAlias = Mapping[str, int]
"""A network's dimensions by name; ``sizes`` of the architectures says which there are."""

_MATRICES: Final = {
    "query": ("hidden", "hidden"),
    "key": ("hidden", "hidden"),
    "value": ("hidden", "hidden"),
    "attention_output": ("hidden", "hidden"),
    "cross_query": ("hidden", "hidden"),
    "cross_key": ("hidden", "memory"),
    "cross_value": ("hidden", "memory"),
    "cross_output": ("hidden", "hidden"),
    "ffn_in": ("ffn", "hidden"),
    "ffn_gate": ("ffn", "hidden"),
    "ffn_out": ("hidden", "ffn"),
}
"""A layer's linear modules by role, with their (outputs, inputs); memory is the width of the encoder."""

_NORMS: Final = ("attention_norm", "cross_norm", "ffn_norm")


@dataclass(frozen=True)
class LayerParts:
    """Module names inside one layer; a decoder's reads the encoder between attention and ffn.

    Roles with the same name are fused: their rows lie in one matrix of the file, in the order of the roles,
    while methods work on a layer for each of them.
    """

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    ffn_in: str
    ffn_out: str
    ffn_norm: str
    ffn_gate: str = ""
    """What the activation of ``ffn_in`` is multiplied with."""
    cross_query: str = ""
    cross_key: str = ""
    cross_value: str = ""
    cross_output: str = ""
    cross_norm: str = ""

    @property
    def fused(self) -> Mapping[str, tuple[str, ...]]:
        """The roles in each fused module, by its name."""
        roles: dict[str, tuple[str, ...]] = {}
        for role in _MATRICES:
            name = getattr(self, role)
            roles[name] = (*roles.get(name, ()), role)
        return {name: found for name, found in roles.items() if name and len(found) > 1}

    def module(self, role: str) -> str:
        """The name of what methods work on; empty where layers have no such part."""
        name: str = getattr(self, role)
        return f"{name}.{role}" if role in self.fused.get(name, ()) else name

    def tensors(self, layer: str, sizes: Sizes, *, rank: int | None, biases: bool) -> Shapes:
        """Of the layer of that name; its matrices are whole, or products of two, none of them fused."""
        shapes: Shapes = {}
        matrices: dict[str, tuple[int, int]] = {}
        for role, (outputs, inputs) in _MATRICES.items():
            if not getattr(self, role):
                continue
            rows, columns = sizes[outputs], sizes[inputs]
            if rank is not None:
                shapes |= product(f"{layer}.{self.module(role)}", rows, columns, rank, bias=biases)
                continue
            name = f"{layer}.{getattr(self, role)}"
            fused_rows, _ = matrices.get(name, (0, 0))
            matrices[name] = (fused_rows + rows, columns)
        for name, (rows, columns) in matrices.items():
            shapes |= linear(name, rows, columns, bias=biases)
        for role in _NORMS:
            if part := getattr(self, role):
                shapes |= norm(f"{layer}.{part}", sizes["hidden"], bias=biases)
        return shapes


@dataclass(frozen=True)
class RelativeBias:
    """What the distance of two tokens adds to their score in each head: one table for all layers."""

    table: str
    buckets: int


@dataclass(frozen=True)
class RelativeEmbeddings:
    """Vectors of distances, one table for all layers, whose queries and keys read it as they read states.

    A network has the sizes ``distances`` (rows of the table; 0: there is none) and ``norms_distances``.
    """

    table: str
    norm: str
    """It may be there without the table, and is not read then."""

    def tensors(self, sizes: Sizes) -> Shapes:
        shapes = table(self.table, sizes["distances"], sizes["hidden"]) if sizes["distances"] else {}
        return shapes | (norm(self.norm, sizes["hidden"]) if sizes["norms_distances"] else {})


class LayerKind(NamedTuple):
    """In what the layers of one stack may differ; those of one kind may stand for one another."""

    is_global: bool
    """Whether it attends to all tokens, and not only to those near by."""
    has_attention_norm: bool


@dataclass(frozen=True)
class LayerStack:
    """A list of layers that are alike, but for their ``LayerKind``.

    Where the size ``global_every`` is n, every n-th layer attends to all tokens, beginning with the first.
    """

    layers: str
    """The list's name."""
    layer: LayerParts
    norm_placement: Literal["after", "before"] = "after"
    """Whether norms follow the sum of the stream and what a block adds, or precede the block."""
    final_norm: str = ""
    """What follows the last layer, where norms precede blocks."""
    first_reads_embeddings: bool = False
    """Whether the first layer's attention has no norm: embeddings are normed already."""
    biases: bool = True
    """Whether matrices and norms have biases."""
    shares_layers: bool = False
    """Whether there is but one layer, which runs as often as the config says."""
    relative_bias: RelativeBias | None = None
    relative_embeddings: RelativeEmbeddings | None = None

    def layer_name(self, index: int) -> str:
        return f"{self.layers}.{0 if self.shares_layers else index}"

    def stored(self, layers: int) -> int:
        """How many of so many layers have parameters of their own."""
        return 1 if self.shares_layers else layers

    def kind(self, index: int, sizes: Sizes) -> LayerKind:
        return LayerKind(
            is_global=index % sizes.get("global_every", 1) == 0,
            has_attention_norm=index > 0 or not self.first_reads_embeddings,
        )

    def layer_tensors(self, index: int, sizes: Sizes, *, rank: int | None = None) -> Shapes:
        layer = self.layer
        if not self.kind(index, sizes).has_attention_norm:
            layer = replace(layer, attention_norm="")
        return layer.tensors(self.layer_name(index), sizes, rank=rank, biases=self.biases)

    def parameters(self, layers: int, sizes: Sizes, *, rank: int | None = None) -> int:
        """Of so many layers that are stored."""
        own = {name: sizes.get(name, 0) for name in ("hidden", "ffn", "memory")}
        first, other = (_layer_parameters(self, index, **own, rank=rank) for index in (0, 1))
        return first + (layers - 1) * other

    def common_tensors(self, sizes: Sizes) -> Shapes:
        """What belongs to no single layer."""
        shapes: Shapes = {}
        if self.final_norm:
            shapes |= norm(self.final_norm, sizes["hidden"], bias=self.biases)
        if self.relative_bias is not None:
            shapes |= table(self.relative_bias.table, self.relative_bias.buckets, sizes["heads"])
        if self.relative_embeddings is not None:
            shapes |= self.relative_embeddings.tensors(sizes)
        return shapes


@lru_cache(maxsize=1024)
def _layer_parameters(
    stack: LayerStack, index: int, *, hidden: int, ffn: int, memory: int, rank: int | None
) -> int:
    """Remembered: planning counts thousands of shapes that differ in their depths alone."""
    sizes = {"hidden": hidden, "ffn": ffn, "memory": memory}
    return parameters(stack.layer_tensors(index, sizes, rank=rank))


@dataclass(frozen=True)
class Embeddings:
    """The tables that are added up, and what follows them up to the first layer."""

    words: str
    positions: str | None
    norm: str
    token_types: str | None = None
    position_rows: str = "positions"
    """The size that says how many rows the table of positions has; of none there is no table."""
    biases: bool = True
    """Whether the norm has one."""
    projection: str | None = None
    """From tables that may be narrower than the network to its width; None: they are as wide as it."""
    always_projects: bool = False
    """Whether the projection is also there where the tables are as wide as the network."""

    def projects(self, sizes: Sizes) -> bool:
        """Whether there is a projection in a network of these sizes."""
        return self.projection is not None and (self.always_projects or sizes["embedding"] != sizes["hidden"])

    def tables(self, sizes: Sizes) -> tuple[str, ...]:
        """Those that a network of these sizes has, words first."""
        return (self.words, *self._other_tables(sizes))

    def _other_tables(self, sizes: Sizes) -> dict[str, int]:
        """Rows of the tables beside the words, by name."""
        rows = {self.positions: self.position_rows, self.token_types: "token_types"}
        return {name: sizes[rows[name]] for name in rows if name is not None and sizes[rows[name]]}

    def tensors(self, sizes: Sizes) -> Shapes:
        """Of the tables, the norm and the projection.

        Without a projection of the family's the word table alone can be narrower: in a student of this
        service, where a matrix follows it.
        """
        hidden, narrow = sizes["hidden"], sizes["embedding"]
        width = hidden if self.projection is None else narrow
        shapes = {
            **self._words(sizes["vocabulary"], narrow, width),
            **norm(self.norm, width, bias=self.biases),
        }
        for name, rows in self._other_tables(sizes).items():
            shapes |= table(name, rows, width)
        if self.projection is not None and self.projects(sizes):
            shapes |= linear(self.projection, hidden, narrow)
        return shapes

    def _words(self, vocabulary: int, narrow: int, width: int) -> Shapes:
        if narrow == width:
            return table(self.words, vocabulary, width)
        return table(f"{self.words}.0", vocabulary, narrow) | linear(
            f"{self.words}.1", width, narrow, bias=False
        )
