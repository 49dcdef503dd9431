"""The layers that maps lead from and to: a teacher's, the student's, and what one keeps of the other.

Shapes: D and d are the teacher's and student's width, F and f their ffn; h heads of k and j dimensions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.networks.layer_views import AttentionView, LayerView
from worker.networks.parts import Axis, Matrix
from worker.networks.views import NetworkView, StackView
from worker.transfer.selection import Selection


@dataclass(frozen=True)
class StackPair:
    """One list of layers of a teacher, and that of a student."""

    teacher: StackView
    student: StackView
    selection: Selection
    memory: Tensor
    """The residual dimensions kept of the encoder, which attention to it reads; of an encoder, its own."""
    memory_width: int
    """D of the encoder."""

    @property
    def layers(self) -> Iterator[tuple[int, LayerView, LayerView]]:
        """Each student layer: its number, the teacher's that it is made of, and itself."""
        for index, (source, target) in enumerate(
            zip(self.selection.layers, self.student.layers, strict=True)
        ):
            yield index, self.teacher.layers[source], target

    def kept_weight(self, layer: int, matrix: Matrix) -> Tensor:
        """A teacher matrix, of the heads that a student layer has."""
        weight = matrix.weight.detach()
        if matrix.rows in _HEAD_AXES:
            return weight[self.kept_heads(layer, matrix.rows)]
        if matrix.columns in _HEAD_AXES:
            return weight[:, self.kept_heads(layer, matrix.columns)]
        return weight

    def kept_bias(self, layer: int, matrix: Matrix) -> Tensor:
        """Its bias, likewise; zeros where it has none."""
        bias = matrix.weight.new_zeros(len(matrix.weight)) if matrix.bias is None else matrix.bias
        return bias[self.kept_heads(layer, matrix.rows)] if matrix.rows in _HEAD_AXES else bias

    def kept_heads(self, layer: int, axis: Axis) -> Tensor:
        """Flat indices (h k,) into the teacher's concatenated heads."""
        attention = next(each for each in self.teacher.layers[0].attentions if each.axis is axis)
        return attention.rows_of(self.selection.heads_on(axis, layer))

    def head_selector(self, layer: int, attention: AttentionView) -> Tensor:
        """(h, j, k): the kept dimensions within each kept head."""
        dims = self.selection.head_dims_on(attention.axis, layer)
        eye = torch.eye(self.teacher.shape.head_dim, device=dims.device)
        return eye[dims]

    def residual_selector(self) -> Tensor:
        """(d, D)."""
        return _rows_of_identity(self.selection.residual, self.teacher.shape.hidden)

    def memory_selector(self) -> Tensor:
        """(d, D) of the encoder."""
        return _rows_of_identity(self.memory, self.memory_width)

    def neuron_selector(self, layer: int) -> Tensor:
        """(f, F)."""
        return _rows_of_identity(self.selection.neurons[layer], self.teacher.shape.ffn)


_HEAD_AXES = (Axis.HEADS, Axis.CROSS_HEADS)


def stack_pairs(
    teacher: NetworkView, student: NetworkView, selections: Sequence[Selection]
) -> tuple[StackPair, ...]:
    """The lists of layers of two networks, those that others read first."""
    memory, width = selections[0].residual, teacher.stacks[0].shape.hidden
    return tuple(
        StackPair(*pair, memory, width)
        for pair in zip(teacher.stacks, student.stacks, selections, strict=True)
    )


def _rows_of_identity(indices: Tensor, size: int) -> Tensor:
    return torch.eye(size, device=indices.device)[indices]
