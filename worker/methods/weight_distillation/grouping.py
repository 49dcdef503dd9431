"""Which teacher weights each student weight is generated from, and with which maps.

Shapes: D, F, k are the teacher's width, ffn and head width; d, f, j the student's; h heads that are kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.methods.weight_distillation.generator import GeneratedWeight, LayerMix
from worker.networks.layer_views import LayerView
from worker.networks.parts import Axis, Matrix, Part
from worker.networks.views import StackView
from worker.transfer.selection import Selection


@dataclass(frozen=True)
class LayerGroups:
    """The layers of a teacher, and those of a student made of them, whose depth divides the teacher's."""

    teacher: StackView
    student: StackView
    selection: Selection
    """Of the last layer of each group: what the student starts from."""

    def __post_init__(self) -> None:
        if len(self.teacher.layers) % len(self.student.layers):
            raise ValueError(f"{len(self.student.layers)} layers do not divide {len(self.teacher.layers)}")

    @property
    def is_kept(self) -> bool:
        """Whether nothing is made smaller."""
        return self.teacher.shape == self.student.shape

    @property
    def group_size(self) -> int:
        return len(self.teacher.layers) // len(self.student.layers)

    def matrices(self) -> Iterator[tuple[int, Matrix, Tensor]]:
        """The number of its layer, each matrix of the student, and the weights (l, n, m) that make it."""
        for index, target, group in self._layers():
            for place, matrix in enumerate(target.matrices):
                yield index, matrix, torch.stack([each.matrices[place].weight.detach() for each in group])

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The name of each parameter of the student's layers, and those (l, ...) that make it."""
        for _, target, group in self._layers():
            for place, part in enumerate(_parts(target)):
                sources = [_parts(each)[place].module for each in group]
                for name, kind in ((part.weight_name, "weight"), (part.bias_name, "bias")):
                    yield name, torch.stack([source.get_parameter(kind).detach() for source in sources])

    def _layers(self) -> Iterator[tuple[int, LayerView, Sequence[LayerView]]]:
        for index, target in enumerate(self.student.layers):
            first = index * self.group_size
            yield index, target, self.teacher.layers[first : first + self.group_size]


def _parts(layer: LayerView) -> tuple[Part, ...]:
    return (*layer.matrices, *layer.norms)


class SelectingMaps:
    """Maps that begin by taking what a selection takes; those of a residual stream are one and the same."""

    def __init__(self, groups: LayerGroups, *, memory: nn.Parameter | None) -> None:
        """Make the maps of one stack.

        Args:
            groups: whose maps.
            memory: the encoder's residual map, for a decoder; None where the encoder keeps its width.
        """
        self._groups = groups
        self._memory = memory
        self.residual = None
        if groups.teacher.shape.hidden != groups.student.shape.hidden:
            kept = _one_hot(groups.selection.residual, groups.teacher.shape.hidden)
            self.residual = nn.Parameter(kept)  # (D, d)

    def generator(self, layer: int, matrix: Matrix, group: Tensor) -> GeneratedWeight:
        """Of one matrix of the student, which begins as it is, from a ``group`` (l, n, m)."""
        start = matrix.weight.detach()
        if self._groups.is_kept:
            return GeneratedWeight(group, start=start)
        rows = self._kept(group, matrix.rows, layer, dim=1)
        return GeneratedWeight(
            self._kept(rows, matrix.columns, layer, dim=2),
            mix=_last_layer(self._groups.group_size, like=start),
            rows=self._map(matrix.rows, layer),
            columns=self._map(matrix.columns, layer),
            start=start,
            is_rated=True,
        )

    def _kept(self, group: Tensor, axis: Axis, layer: int, *, dim: int) -> Tensor:
        """The group with the heads that are kept; anything else is left to the maps."""
        for attention in self._groups.teacher.layers[0].attentions:
            if attention.axis is axis:
                heads = self._groups.selection.heads_on(axis, layer)
                return group.index_select(dim, attention.rows_of(heads))
        return group

    def _map(self, axis: Axis, layer: int) -> nn.Parameter | None:
        selection, shape = self._groups.selection, self._groups.teacher.shape
        match axis:
            case Axis.RESIDUAL:
                return self.residual
            case Axis.MEMORY:
                return self._memory
            case Axis.NEURONS:
                return nn.Parameter(_one_hot(selection.neurons[layer], shape.ffn))  # (F, f)
            case Axis.HEADS | Axis.CROSS_HEADS:
                dims = selection.head_dims_on(axis, layer)
                return nn.Parameter(
                    torch.stack([_one_hot(kept, shape.head_dim) for kept in dims])
                )  # (h, k, j)
            case Axis.EMBEDDING | Axis.FEATURES | Axis.OUTPUTS:
                raise ValueError(f"no matrix of a layer has {axis.value}")


def random_generator(group: Tensor, shape: torch.Size, *, mixes: bool) -> GeneratedWeight:
    """As in the paper's code: maps from Xavier's normal distribution, S = 1 and B = 0.

    Args:
        group: T, (l, n, m) or (l, n).
        shape: of the student's weight.
        mixes: False for what is kept, which has neither maps nor coefficients.
    """
    if not mixes:
        return GeneratedWeight(group)
    mixer, weights = group.new_empty(len(group), len(group)), group.new_full((len(group),), 1 / len(group))
    maps = [
        nn.Parameter(nn.init.xavier_normal_(group.new_empty(before, after)))
        for before, after in zip(group.shape[1:], shape, strict=True)
    ]
    return GeneratedWeight(
        group,
        mix=LayerMix(nn.init.xavier_normal_(mixer), weights),
        rows=maps[0],
        columns=maps[1] if len(maps) > 1 else None,
    )


def random_table(table: Tensor, width: int) -> GeneratedWeight:
    """E_s = S ⊙ tanh(E_t W) + B, where W is there only if the width changes."""
    if table.shape[1] == width:
        return GeneratedWeight(table[None])
    columns = nn.Parameter(nn.init.xavier_normal_(table.new_empty(table.shape[1], width)))
    return GeneratedWeight(table[None], columns=columns)


def _last_layer(size: int, *, like: Tensor) -> LayerMix | None:
    """Coefficients that begin at the last layer of a group alone."""
    if size == 1:
        return None
    weights = torch.zeros(size, device=like.device)
    weights[-1] = 1
    return LayerMix(torch.eye(size, device=like.device), weights)


def _one_hot(indices: Tensor, length: int) -> Tensor:
    """(length, kept): each column takes one index."""
    return nn.functional.one_hot(indices, length).T.float().contiguous()
