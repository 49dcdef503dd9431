"""Which layers, residual dimensions, heads and neurons of a teacher a student keeps.

One set of residual dimensions for the whole network, one of heads and one of neurons a layer: whatever
reads or writes the same values keeps the same indices. Ranking follows weight subcloning (Samragh et al.,
2023).

Shapes: D, N, n, k, F are the teacher's width, layers, heads, head width and ffn; d, h, j, f the student's
width, heads, head width and ffn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.core.shapes import EncoderCard, Shape
from app.core.specs import LayerMap
from worker.modeling.anatomy import ANATOMIES
from worker.modeling.calibration import Inputs, loudness, record


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


def select(
    teacher: nn.Module,
    batches: Sequence[Inputs],
    *,
    card: EncoderCard,
    student: Shape,
    layer_map: LayerMap,
) -> Selection:
    """Keep what speaks loudest on some text: the largest mean absolute activation.

    Args:
        teacher: the network whose parts are ranked.
        batches: the text.
        card: the teacher's layout.
        student: the shape to come to.
        layer_map: which layers are taken.
    """
    anatomy, shape = ANATOMIES[card.architecture], card.shape
    layers = map_layers(layer_map, teacher=shape.layers, student=student.layers)
    contexts = [anatomy.part_name(layer, "attention_output") for layer in layers]
    inners = [anatomy.part_name(layer, "ffn_out") for layer in layers]
    streams = [
        anatomy.embedding_norm,
        *(anatomy.part_name(layer, "ffn_norm") for layer in range(shape.layers)),
    ]
    values = record(teacher, batches, before=[*contexts, *inners], after=streams, keep=loudness)
    scores = {key: rows.mean(0) for key, rows in values.items()}
    heads, head_dims, neurons = [], [], []
    for context, inner in zip(contexts, inners, strict=True):
        by_head = scores[f"> {context}"].view(shape.heads, shape.head_dim)  # (n, k)
        kept = _top(by_head.mean(1), student.heads)  # (h,)
        heads.append(kept)
        head_dims.append(by_head[kept].topk(student.head_dim).indices.sort().values)  # (h, j)
        neurons.append(_top(scores[f"> {inner}"], student.ffn))
    residual = torch.stack([scores[f"{stream} >"] for stream in streams]).sum(0)  # (D,)
    return Selection(
        layers=layers,
        residual=_top(residual, student.hidden),
        heads=heads,
        head_dims=head_dims,
        neurons=neurons,
    )


def _top(scores: Tensor, count: int) -> Tensor:
    return scores.topk(count).indices.sort().values
