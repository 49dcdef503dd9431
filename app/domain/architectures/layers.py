"""The layers and embeddings of a transformer: module names by role, and the tensors that follow from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

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
    "ffn_out": ("hidden", "ffn"),
}
"""A layer's linear modules by role, with their (outputs, inputs); memory is the width of the encoder."""

_NORMS: Final = ("attention_norm", "cross_norm", "ffn_norm")


@dataclass(frozen=True)
class LayerParts:
    """Module names inside one layer; a decoder's reads the encoder between attention and ffn.

    Roles with the same name are fused: their rows lie in one matrix, in the order of the roles.
    """

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

    def tensors(self, layer: str, sizes: Sizes, *, rank: int | None, biases: bool) -> Shapes:
        """Of the layer of that name; its matrices are whole, or products of two."""
        matrices: dict[str, tuple[int, int]] = {}
        for role, (outputs, inputs) in _MATRICES.items():
            if part := getattr(self, role):
                name = f"{layer}.{part}"
                fused_rows, _ = matrices.get(name, (0, 0))
                matrices[name] = (fused_rows + sizes[outputs], sizes[inputs])
        shapes: Shapes = {}
        for name, (rows, columns) in matrices.items():
            if rank is None:
                shapes |= linear(name, rows, columns, bias=biases)
            else:
                shapes |= product(name, rows, columns, rank, bias=biases)
        for role in _NORMS:
            if part := getattr(self, role):
                shapes |= norm(f"{layer}.{part}", sizes["hidden"])
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


@dataclass(frozen=True)
class LayerStack:
    """A list of layers that are alike."""

    layers: str
    """The list's name."""
    layer: LayerParts
    norm_placement: Literal["after", "before"] = "after"
    """Whether norms follow the sum of the stream and what a block adds, or precede the block."""
    biases: bool = True
    """Whether the matrices have biases."""
    shares_layers: bool = False
    """Whether there is but one layer, which runs as often as the config says."""
    relative_bias: RelativeBias | None = None
    relative_embeddings: RelativeEmbeddings | None = None

    def layer_name(self, index: int) -> str:
        return f"{self.layers}.{0 if self.shares_layers else index}"

    def stored(self, layers: int) -> int:
        """How many of so many layers have parameters of their own."""
        return 1 if self.shares_layers else layers

    def layer_tensors(self, index: int, sizes: Sizes, *, rank: int | None = None) -> Shapes:
        return self.layer.tensors(self.layer_name(index), sizes, rank=rank, biases=self.biases)

    def layer_parameters(self, sizes: Sizes, *, rank: int | None = None) -> int:
        """Of one layer. Remembered: planning counts thousands of shapes that differ in their depths alone."""
        return _layer_parameters(self, sizes["hidden"], sizes["ffn"], sizes.get("memory", 0), rank)

    def common_tensors(self, sizes: Sizes) -> Shapes:
        """What belongs to no single layer."""
        shapes: Shapes = {}
        if self.relative_bias is not None:
            shapes |= table(self.relative_bias.table, self.relative_bias.buckets, sizes["heads"])
        if self.relative_embeddings is not None:
            shapes |= self.relative_embeddings.tensors(sizes)
        return shapes


@lru_cache(maxsize=1024)
def _layer_parameters(stack: LayerStack, hidden: int, ffn: int, memory: int, rank: int | None) -> int:
    sizes = {"hidden": hidden, "ffn": ffn, "memory": memory}
    return parameters(stack.layer_tensors(0, sizes, rank=rank))


@dataclass(frozen=True)
class Embeddings:
    """The tables that are added up, and what follows them up to the first layer."""

    words: str
    positions: str
    norm: str
    token_types: str | None = None
    position_rows: str = "positions"
    """The size that says how many rows the table of positions has; of none there is no table."""
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
        rows = {self.positions: sizes[self.position_rows]}
        if self.token_types is not None:
            rows[self.token_types] = sizes["token_types"]
        return {name: count for name, count in rows.items() if count}

    def tensors(self, sizes: Sizes) -> Shapes:
        """Of the tables, the norm and the projection.

        Without a projection of the family's the word table alone can be narrower: in a student of this
        service, where a matrix follows it.
        """
        hidden, narrow = sizes["hidden"], sizes["embedding"]
        width = hidden if self.projection is None else narrow
        shapes = {**self._words(sizes["vocabulary"], narrow, width), **norm(self.norm, width)}
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
