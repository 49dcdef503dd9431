"""Which rows and columns of an encoder lie on the same indices, and must therefore lose the same ones."""

from dataclasses import dataclass

from torch import nn

from app.domain.architectures import EncoderArchitecture, EncoderShape
from worker.methods.weight_inherited.indices import IndexGroup
from worker.networks.anatomy import ANATOMIES

RESIDUAL = "residual"
"""One set for the whole network: whatever is added up, normed and read from layer to layer."""
FEATURES = "features"
"""Between the two matrices of a head of whole texts."""


@dataclass(frozen=True)
class Ends:
    """The groups that a linear layer's rows and columns lie on; None: the answers, of which none goes."""

    rows: str | None
    columns: str


class Wiring:
    """The linear layers and norms of a network by the indices that they share."""

    def __init__(self, network: nn.Module, architecture: EncoderArchitecture) -> None:
        """Look at a network of an architecture, whatever its head."""
        self.anatomy = ANATOMIES[architecture.family]
        self.head = self.anatomy.head_of(network)
        self._card = architecture
        self.linears = self._linears()
        self.norms = [self.anatomy.embedding_norm]
        for layer in range(architecture.shape.layers):
            self.norms += [self.anatomy.part_name(layer, role) for role in ("attention_norm", "ffn_norm")]
        if self.head.norm is not None:
            self.norms.append(self.head.norm)

    @property
    def is_tied(self) -> bool:
        """Whether the output's matrix is the word table."""
        return self.head.norm is not None

    def groups(self, target: EncoderShape, *, whole_heads: bool) -> dict[str, IndexGroup]:
        """The index sets, whole, on their way to a shape."""
        s = self._card.shape
        unit = s.head_dim if whole_heads else s.heads
        groups = {RESIDUAL: IndexGroup(s.hidden, target.hidden, unit=unit)}
        for layer in range(s.layers):
            groups[heads_of(layer)] = IndexGroup(
                s.hidden, target.hidden, unit=unit, blocks=s.heads, whole=whole_heads
            )
            groups[neurons_of(layer)] = IndexGroup(s.ffn, target.ffn)
        if any(ends.columns == FEATURES for ends in self.linears.values()):
            groups[FEATURES] = IndexGroup(s.hidden, target.hidden, unit=unit)
        return groups

    def reader_of(self, group: str) -> str:
        """The one layer that reads a group other than the residual stream."""
        [name] = [name for name, ends in self.linears.items() if ends.columns == group]
        return name

    def readers_after(self, norm: str) -> list[str]:
        """The layers that read what a norm gives."""
        begin = self.norms.index(norm)
        layer, after_attention = divmod(begin, 2)
        if norm == self.head.norm:
            return []
        if after_attention:
            return [self.anatomy.part_name(layer, "ffn_in")]
        if layer < self._card.shape.layers:
            return [self.anatomy.part_name(layer, role) for role in ("query", "key", "value")]
        return [self.head.dense or self.head.output]

    def is_query(self, name: str) -> bool:
        return name.endswith(f".{self.anatomy.layer.query}")

    def _linears(self) -> dict[str, Ends]:
        linears: dict[str, Ends] = {}
        for layer in range(self._card.shape.layers):
            heads, neurons = heads_of(layer), neurons_of(layer)
            for role, ends in {
                "query": Ends(heads, RESIDUAL),
                "key": Ends(heads, RESIDUAL),
                "value": Ends(heads, RESIDUAL),
                "attention_output": Ends(RESIDUAL, heads),
                "ffn_in": Ends(neurons, RESIDUAL),
                "ffn_out": Ends(RESIDUAL, neurons),
            }.items():
                linears[self.anatomy.part_name(layer, role)] = ends
        if self.head.dense is None:
            return linears | {self.head.output: Ends(None, RESIDUAL)}
        if self.is_tied:
            # Its rows meet the word table, which lies on the residual stream's indices.
            return linears | {self.head.dense: Ends(RESIDUAL, RESIDUAL)}
        return linears | {
            self.head.dense: Ends(FEATURES, RESIDUAL),
            self.head.output: Ends(None, FEATURES),
        }


def heads_of(layer: int) -> str:
    return f"heads {layer}"


def neurons_of(layer: int) -> str:
    return f"neurons {layer}"
