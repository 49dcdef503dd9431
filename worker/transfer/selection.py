"""Which layers, residual dimensions, heads and neurons of a teacher a student keeps.

One set of residual dimensions for the whole network, one of heads and one of neurons a layer: whatever
reads or writes the same values keeps the same indices. Layers that share a bias of distances keep the same
heads, those that share all of their weights the same of everything; embeddings that are projected keep their
width. Ranking follows weight subcloning (Samragh et al., 2023).

Shapes: D, N, n, k, F are the teacher's width, layers, heads, head width and ffn; d, h, j, f the student's
width, heads, head width and ffn.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.domain.architectures import EncoderDecoderShape, EncoderShape
from app.domain.methods import LayerMap
from worker.networks.layer_views import AttentionView
from worker.networks.parts import Axis, Matrix
from worker.networks.views import NetworkView, StackView
from worker.transfer.activations import Activations, Inputs, capture_activations, mean_abs_activation


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

    def heads_on(self, axis: Axis, layer: int) -> Tensor:
        """(h,): the heads kept of the attention whose heads lie on an axis."""
        return (self.cross_heads if axis is Axis.CROSS_HEADS else self.heads)[layer]

    def head_dims_on(self, axis: Axis, layer: int) -> Tensor:
        """(h, j): the dimensions kept within each of them."""
        return (self.cross_head_dims if axis is Axis.CROSS_HEADS else self.head_dims)[layer]

    def context(self, layer: int, head_dim: int, axis: Axis = Axis.HEADS) -> Tensor:
        """Flat indices (h j,) into a teacher layer's concatenated heads of width ``head_dim``."""
        return (self.heads_on(axis, layer)[:, None] * head_dim + self.head_dims_on(axis, layer)).flatten()


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
    teacher: NetworkView,
    batches: Sequence[Inputs],
    *,
    student: EncoderShape | EncoderDecoderShape,
    layer_map: LayerMap,
) -> tuple[Selection, ...]:
    """Keep the dimensions, heads and neurons of the largest mean absolute activation on some text.

    Args:
        teacher: the network whose parts are ranked.
        batches: the text.
        student: the shape to come to.
        layer_map: which layers are kept.

    Returns:
        What is kept of each stack.
    """
    plans = [
        (stack, shape, _layers(stack, layer_map, student=shape.layers))
        for stack, shape in zip(teacher.stacks, student.stacks, strict=True)
    ]
    values = capture_activations(
        teacher.network,
        batches,
        before=[matrix for stack, _, layers in plans for matrix in _ranking(stack, layers)],
        after=[part for stack, _, _ in plans if not stack.has_sines for part in stack.stream_parts],
        keep=mean_abs_activation,
    )
    return tuple(_selection(stack, values, layers, student=shape) for stack, shape, layers in plans)


def nearest_alike(wanted: Sequence[int], kinds: Sequence[Hashable]) -> list[int]:
    """Layers in order, each of the kind that stands in its place, that lie nearest to those that are wanted.

    Args:
        wanted: a layer for each place.
        kinds: of all layers; the first ones are those of the places.
    """
    best: dict[int, tuple[int, list[int]]] = {-1: (0, [])}  # by the last layer: distance so far, and layers
    for place, layer in enumerate(wanted):
        reached: dict[int, tuple[int, list[int]]] = {}
        for candidate in (index for index, kind in enumerate(kinds) if kind == kinds[place]):
            before = min((path for last, path in best.items() if last < candidate), default=None)
            if before is not None:
                reached[candidate] = (before[0] + abs(candidate - layer), [*before[1], candidate])
        best = reached
    return min(best.values())[1]


def _layers(stack: StackView, layer_map: LayerMap, *, student: int) -> list[int]:
    """The teacher layer of each student layer, of the kind that it is to be."""
    wanted = map_layers(layer_map, teacher=stack.shape.layers, student=student)
    return nearest_alike(wanted, stack.kinds) if len(set(stack.kinds)) > 1 else wanted


def positional_dimensions(teacher: int, student: int) -> Tensor:
    """The teacher dimension, (d,), whose sine or cosine is nearest in frequency to each of the student's.

    Marian's sines fill the first half of a width, its cosines the second, each from fast to slow; so do the
    first and the second of the pairs of dimensions that rotary positions turn in the width of a head.
    """
    sines, cosines = (
        _evenly_below(length, count)
        for length, count in (((teacher + 1) // 2, (student + 1) // 2), (teacher // 2, student // 2))
    )
    return torch.cat([sines, (teacher + 1) // 2 + cosines])


def _evenly_below(length: int, count: int) -> Tensor:
    """``count`` different indices below ``length``, evenly spaced."""
    return torch.arange(count) * length // count


def _ranking(stack: StackView, layers: Sequence[int]) -> list[Matrix]:
    """The matrices that read heads and neurons, whose inputs rank these."""
    chosen = [stack.layers[layer] for layer in layers]
    return [
        matrix
        for layer in chosen
        for matrix in (*(attention.output for attention in layer.attentions), layer.ffn_out)
    ]


def _residual(stack: StackView, values: Activations, width: int) -> Tensor:
    """The residual dimensions of the largest activations, (d,), or those that positions prescribe.

    What stands where a sine is added cannot be chosen freely: it has a frequency of its own in every width,
    so that each of the student's dimensions takes the teacher's of the nearest frequency.
    """
    if stack.has_sines:
        return positional_dimensions(stack.shape.hidden, width)
    stream = torch.stack([values.output_of(part).mean(0) for part in stack.stream_parts]).sum(0)  # (D,)
    return _top(stream, width)


def _selection(
    stack: StackView, values: Activations, layers: list[int], *, student: EncoderShape
) -> Selection:
    """The heads, dimensions within heads and neurons of the largest activations in each layer."""
    views = [stack.layers[layer] for layer in layers]

    def scores_of(readers: Sequence[Matrix]) -> list[Tensor]:
        """For each layer, (width,): how large what it reads is; one for all where layers are the same."""
        scores = [values.input_of(reader).mean(0) for reader in readers]
        return _added(scores) if stack.shares_layers else scores

    def heads(attentions: Sequence[AttentionView]) -> tuple[list[Tensor], list[Tensor]]:
        scores = scores_of([attention.output for attention in attentions])
        by_head = [
            score.view(attention.heads, attention.head_dim)  # (n, k)
            for score, attention in zip(scores, attentions, strict=True)
        ]
        ranked = [scores.mean(1) for scores in by_head]
        if stack.relative_bias is not None:
            ranked = _added(ranked)
        kept = [_top(scores, student.heads) for scores in ranked]  # (h,)
        if stack.is_rotary:
            width = positional_dimensions(stack.shape.head_dim, student.head_dim)
            return kept, [width.to(heads.device).expand(len(heads), -1) for heads in kept]
        dims = [
            scores[heads].topk(student.head_dim).indices.sort().values  # (h, j)
            for scores, heads in zip(by_head, kept, strict=True)
        ]
        return kept, dims

    own_heads, own_dims = heads([view.attention for view in views])
    cross = [view.cross_attention for view in views if view.cross_attention is not None]
    cross_heads, cross_dims = heads(cross)
    return Selection(
        layers=layers,
        residual=_residual(stack, values, student.hidden).to(own_heads[0].device),
        heads=own_heads,
        head_dims=own_dims,
        neurons=[_top(scores, student.ffn) for scores in scores_of([view.ffn_out for view in views])],
        cross_heads=cross_heads,
        cross_head_dims=cross_dims,
    )


def _added(scores: list[Tensor]) -> list[Tensor]:
    """The sum of all, in the place of each."""
    return [torch.stack(scores).sum(0)] * len(scores) if scores else []


def _top(scores: Tensor, count: int) -> Tensor:
    return scores.topk(count).indices.sort().values
