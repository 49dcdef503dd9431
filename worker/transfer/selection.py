"""Which layers, residual dimensions, heads and neurons of a teacher a student keeps.

One set of residual dimensions for the whole network, one of heads and one of neurons a layer: whatever
reads or writes the same values keeps the same indices. Ranking follows weight subcloning (Samragh et al.,
2023).

Shapes: D, N, n, k, F are the teacher's width, layers, heads, head width and ffn; d, h, j, f the student's
width, heads, head width and ffn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from app.domain.architectures import (
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
)
from app.domain.methods import LayerMap
from worker.networks.anatomy import ANATOMIES, MARIAN, Stack
from worker.transfer.activations import Inputs, capture_activations, mean_abs_activation


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
    cross_heads: list[Tensor] = field(default_factory=list)
    """Of a decoder: (h,) for each student layer's attention to the encoder."""
    cross_head_dims: list[Tensor] = field(default_factory=list)
    """Of a decoder: (h, j) for each student layer."""

    def context(self, layer: int, head_dim: int) -> Tensor:
        """Flat indices (h j,) into a teacher layer's concatenated heads of width ``head_dim``."""
        return (self.heads[layer][:, None] * head_dim + self.head_dims[layer]).flatten()

    def cross_context(self, layer: int, head_dim: int) -> Tensor:
        """The same for the attention to the encoder."""
        return (self.cross_heads[layer][:, None] * head_dim + self.cross_head_dims[layer]).flatten()


@dataclass(frozen=True)
class StackSelections:
    """What is kept of a translation model."""

    encoder: Selection
    decoder: Selection


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
    architecture: EncoderArchitecture,
    student: EncoderShape,
    layer_map: LayerMap,
) -> Selection:
    """Keep what speaks loudest on some text: the largest mean absolute activation.

    Args:
        teacher: the network whose parts are ranked.
        batches: the text.
        architecture: the teacher's layout.
        student: the shape to come to.
        layer_map: which layers are taken.
    """
    anatomy, shape = ANATOMIES[architecture.family], architecture.shape
    layers = map_layers(layer_map, teacher=shape.layers, student=student.layers)
    streams = [
        anatomy.embedding_norm,
        *(anatomy.part_name(layer, "ffn_norm") for layer in range(shape.layers)),
    ]
    values = capture_activations(
        teacher, batches, before=_inputs(anatomy, layers), after=streams, keep=mean_abs_activation
    )
    scores = {key: rows.mean(0) for key, rows in values.items()}
    residual = torch.stack([scores[f"{stream} >"] for stream in streams]).sum(0)  # (D,)
    return _selection(
        anatomy, scores, layers, residual=_top(residual, student.hidden), shape=shape, student=student
    )


def select_stacks(
    teacher: nn.Module,
    batches: Sequence[Inputs],
    *,
    architecture: EncoderDecoderArchitecture,
    student: EncoderDecoderShape,
    layer_map: LayerMap,
) -> StackSelections:
    """The same of a translation model: the loudest heads and neurons, and residual dimensions by position.

    What stands where a position is added cannot be chosen freely: a dimension's sine has a frequency of its
    own in every width, so that each of the student's takes the teacher's of the nearest frequency.
    """
    shapes = {
        "encoder": (architecture.shape.encoder, student.encoder),
        "decoder": (architecture.shape.decoder, student.decoder),
    }
    stacks = {"encoder": MARIAN.encoder, "decoder": MARIAN.decoder}
    layers = {
        name: map_layers(layer_map, teacher=ours.layers, student=theirs.layers)
        for name, (ours, theirs) in shapes.items()
    }
    before = [part for name, stack in stacks.items() for part in _inputs(stack, layers[name])]
    values = capture_activations(teacher, batches, before=before, keep=mean_abs_activation)
    scores = {key: rows.mean(0) for key, rows in values.items()}
    chosen = {
        name: _selection(
            stack,
            scores,
            layers[name],
            residual=positional_dimensions(shapes[name][0].hidden, shapes[name][1].hidden),
            shape=shapes[name][0],
            student=shapes[name][1],
        )
        for name, stack in stacks.items()
    }
    return StackSelections(**chosen)


def positional_dimensions(teacher: int, student: int) -> Tensor:
    """The teacher dimension, (d,), whose sine or cosine is nearest in frequency to each of the student's.

    Marian's sines fill the first half of a width, its cosines the second, each from fast to slow.
    """
    sines, cosines = (
        _spread(length, count)
        for length, count in (((teacher + 1) // 2, (student + 1) // 2), (teacher // 2, student // 2))
    )
    return torch.cat([sines, (teacher + 1) // 2 + cosines])


def _spread(length: int, count: int) -> Tensor:
    """``count`` different indices below ``length``, evenly spaced."""
    return torch.arange(count) * length // count


def _inputs(stack: Stack, layers: Sequence[int]) -> list[str]:
    """The modules that read heads and neurons."""
    roles = ["attention_output", "ffn_out", *(["cross_output"] if stack.layer.cross_output else [])]
    return [stack.part_name(layer, role) for layer in layers for role in roles]


def _selection(
    stack: Stack,
    scores: Mapping[str, Tensor],
    layers: list[int],
    *,
    residual: Tensor,
    shape: EncoderShape,
    student: EncoderShape,
) -> Selection:
    """The loudest heads, dimensions within heads, and neurons of each layer."""

    def heads(role: str) -> tuple[list[Tensor], list[Tensor]]:
        kept, dims = [], []
        for layer in layers:
            by_head = scores[f"> {stack.part_name(layer, role)}"].view(shape.heads, shape.head_dim)  # (n, k)
            kept.append(_top(by_head.mean(1), student.heads))  # (h,)
            dims.append(by_head[kept[-1]].topk(student.head_dim).indices.sort().values)  # (h, j)
        return kept, dims

    own_heads, own_dims = heads("attention_output")
    cross_heads, cross_dims = heads("cross_output") if stack.layer.cross_output else ([], [])
    inners = [stack.part_name(layer, "ffn_out") for layer in layers]
    return Selection(
        layers=layers,
        residual=residual.to(own_heads[0].device),
        heads=own_heads,
        head_dims=own_dims,
        neurons=[_top(scores[f"> {inner}"], student.ffn) for inner in inners],
        cross_heads=cross_heads,
        cross_head_dims=cross_dims,
    )


def _top(scores: Tensor, count: int) -> Tensor:
    return scores.topk(count).indices.sort().values
