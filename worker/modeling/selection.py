"""Which layers, residual dimensions, heads and neurons of a teacher a student keeps.

One set of residual dimensions for the whole network, one of heads and one of neurons a layer: whatever
reads or writes the same values keeps the same indices. Ranking follows weight subcloning (Samragh et al.,
2023).

Shapes: D, N, n, k, F are the teacher's width, layers, heads, head width and ffn; d, h, j, f the student's
width, heads, head width and ffn.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.core.shapes import Shape
from app.core.specs import LayerMap
from worker.modeling.calibration import Activations


@dataclass(frozen=True)
class Selection:
    """Indices into the teacher, sorted."""

    layers: list[int]
    """Teacher layer of each student layer."""
    residual: Tensor
    """(d,), for the whole network."""
    heads: list[Tensor]
    """(h,) for each student layer."""
    head_dims: list[Tensor]
    """(h, j) for each student layer: dimensions kept within each kept head."""
    neurons: list[Tensor]
    """(f,) for each student layer."""

    def context(self, layer: int, head_dim: int) -> Tensor:
        """Flat indices (h j,) into a teacher layer's concatenated heads of width ``head_dim``."""
        return (self.heads[layer][:, None] * head_dim + self.head_dims[layer]).flatten()


def map_layers(kind: LayerMap, *, teacher: int, student: int) -> list[int]:
    """The teacher layer, 0-based, of each student layer."""
    match kind:
        case "uniform":
            return [(i + 1) * teacher // student - 1 for i in range(student)]
        case "first":
            return list(range(student))
        case "last":
            return list(range(teacher - student, teacher))
        case "outer":
            # Subcloning drops the middle, where layers are most alike.
            front = (student + 1) // 2
            return [*range(front), *range(teacher - (student - front), teacher)]


def select(activations: Activations, *, teacher: Shape, student: Shape, layer_map: LayerMap) -> Selection:
    """Keep what speaks loudest: the largest mean absolute activation."""
    layers = map_layers(layer_map, teacher=teacher.layers, student=student.layers)
    residual = sum((values.abs().mean(0) for values in activations.stream), torch.zeros(()))  # (D,)
    heads, head_dims, neurons = [], [], []
    for layer in layers:
        loudness = activations.context[layer].abs().mean(0).view(teacher.heads, teacher.head_dim)  # (n, k)
        kept = _top(loudness.mean(1), student.heads)  # (h,)
        heads.append(kept)
        head_dims.append(loudness[kept].topk(student.head_dim).indices.sort().values)  # (h, j)
        neurons.append(_top(activations.inner[layer].abs().mean(0), student.ffn))
    return Selection(
        layers=layers,
        residual=_top(residual, student.hidden),
        heads=heads,
        head_dims=head_dims,
        neurons=neurons,
    )


def _top(scores: Tensor, count: int) -> Tensor:
    return scores.topk(count).indices.sort().values
