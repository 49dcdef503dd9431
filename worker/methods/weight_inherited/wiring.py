"""Which rows and columns of an encoder lie on the same indices, and must therefore lose the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.architectures import EncoderShape
from worker.methods.weight_inherited.indices import IndexGroup
from worker.networks.parts import Axis, Matrix, Norm, Part
from worker.networks.views import EncoderView


@dataclass(frozen=True)
class GroupKey:
    """Names a group of indices: those of an axis, of one layer or of the whole network."""

    axis: Axis
    layer: int | None = None

    def __str__(self) -> str:
        return self.axis.value if self.layer is None else f"{self.axis.value}.{self.layer}"


RESIDUAL = GroupKey(Axis.RESIDUAL)
FEATURES = GroupKey(Axis.FEATURES)


@dataclass(frozen=True)
class Ends:
    """The groups that a linear layer's rows and columns lie on; None: the answers, of which none goes."""

    rows: GroupKey | None
    columns: GroupKey


class Wiring:
    """The linear layers and norms of a network by the indices that they share."""

    def __init__(self, view: EncoderView) -> None:
        """Look at a network, whatever its head."""
        self.view = view
        self.matrices = self._matrices()
        self._readers = _readers(view)
        self.norm_groups = self._norm_groups()
        """Of the numbers of each norm."""
        self.norms = list(self.norm_groups)
        self._queries = {layer.query for layer in view.layers}

    @property
    def is_tied(self) -> bool:
        """Whether the output's matrix is the word table."""
        return self.view.head.is_tied

    def groups(self, target: EncoderShape, *, whole_heads: bool) -> dict[GroupKey, IndexGroup]:
        """The index sets, whole, on their way to a shape."""
        s = self.view.shape
        unit = s.head_dim if whole_heads else s.heads
        groups = {RESIDUAL: IndexGroup(s.hidden, target.hidden, unit=unit)}
        for layer in range(s.layers):
            groups[GroupKey(Axis.HEADS, layer)] = IndexGroup(
                s.hidden, target.hidden, unit=unit, blocks=s.heads, whole=whole_heads
            )
            groups[GroupKey(Axis.NEURONS, layer)] = IndexGroup(s.ffn, target.ffn)
        if any(ends.columns == FEATURES for ends in self.matrices.values()):
            groups[FEATURES] = IndexGroup(s.hidden, target.hidden, unit=unit)
        return groups

    def reader_of(self, group: GroupKey) -> Matrix:
        """The one layer that reads a group other than the residual stream."""
        [reader] = [matrix for matrix, ends in self.matrices.items() if ends.columns == group]
        return reader

    def readers_after(self, norm: Norm) -> list[Matrix]:
        """The layers that read what a norm gives."""
        return self._readers.get(norm, [])

    def norms_on(self, group: GroupKey) -> list[Norm]:
        return [norm for norm, own in self.norm_groups.items() if own == group]

    @property
    def stream_parts(self) -> Sequence[Part]:
        """What gives the residual stream, at every place where it changes."""
        if self.view.norms_precede:
            return self.view.stream_parts
        return [norm for norm in self._readers if self.norm_groups[norm] == RESIDUAL]

    def stream_uses(self) -> tuple[list[Norm], list[Matrix]]:
        """Norms and layers that between them meet every use of a dimension of the stream once.

        Where norms follow blocks, even the sum before the next norm follows a norm. Where they precede them,
        the first one gives what all others read.
        """
        norms = self.norms_on(RESIDUAL)
        if not self.view.norms_precede:
            return norms, []
        unread = [norm for norm in norms if norm not in self._readers]
        return unread, [matrix for matrix, ends in self.matrices.items() if ends.columns == RESIDUAL]

    def is_query(self, matrix: Matrix) -> bool:
        return matrix in self._queries

    def _norm_groups(self) -> dict[Norm, GroupKey]:
        head, distances = self.view.head, self.view.distances
        groups = dict.fromkeys(self._readers, RESIDUAL)
        if head.norm is not None:
            groups[head.norm] = RESIDUAL if head.is_tied else FEATURES
        if distances is not None and distances.norm is not None:
            groups[distances.norm] = RESIDUAL
        return groups

    def _matrices(self) -> dict[Matrix, Ends]:
        found: dict[Matrix, Ends] = {}
        for index, layer in enumerate(self.view.layers):
            for matrix in layer.matrices:
                found[matrix] = Ends(_key(matrix.rows, index), _key(matrix.columns, index))
        head = self.view.head
        if head.dense is not None:
            found[head.dense] = Ends(_key(head.dense.rows), _key(head.dense.columns))
        if not self.is_tied:
            found[head.output] = Ends(None, _key(head.output.columns))
        return found


def _readers(view: EncoderView) -> dict[Norm, list[Matrix]]:
    """The layers that read what each norm gives."""
    found: dict[Norm, list[Matrix]] = {view.embedding_norm: []}
    last = view.embedding_norm
    for layer in view.layers:
        own = layer.attention_norm
        before_attention, before_ffn = (own or last, layer.ffn_norm) if view.norms_precede else (last, own)
        assert before_ffn is not None
        found[before_attention] = list(layer.attention.projections)
        found[before_ffn] = list(layer.ffn_readers)
        last = layer.ffn_norm
    found[view.last] = [view.head.reader]
    if view.head.norm is not None and not view.head.is_tied:
        found[view.head.norm] = [view.head.output]
    return found


def _key(axis: Axis, layer: int | None = None) -> GroupKey:
    return GroupKey(axis, layer if axis in (Axis.HEADS, Axis.NEURONS) else None)
