"""Selections from indices alone: evenly spaced parts of the first layers (weight selection, Xu et al., 2024).

The paper spaces the rows of a matrix as if they were all alike. Rows of queries, keys and values belong to
heads: here whole heads are spaced, and within each its dimensions, so that no head mixes two.
"""

import torch
from torch import Tensor

from app.domain.architectures import EncoderDecoderShape, EncoderShape
from worker.networks.views import NetworkView
from worker.transfer.selection import Selection, positional_dimensions


def evenly_spaced(length: int, count: int) -> Tensor:
    """``count`` of ``length`` indices: every n-th where that divides, else the nearest to even spacing."""
    if length % count == 0:
        return torch.arange(count) * (length // count)
    return torch.linspace(0, length - 1, count).round().long()


def evenly_spaced_selections(
    teacher: NetworkView, student: EncoderShape | EncoderDecoderShape
) -> tuple[Selection, ...]:
    """What weight selection keeps of each stack."""
    return tuple(
        evenly_spaced_selection(stack.shape, shape, has_sines=stack.has_sines, is_rotary=stack.is_rotary)
        for stack, shape in zip(teacher.stacks, student.stacks, strict=True)
    )


def evenly_spaced_selection(
    teacher: EncoderShape, student: EncoderShape, *, has_sines: bool = False, is_rotary: bool = False
) -> Selection:
    """What it keeps of one; dimensions with a frequency of their own are spaced as frequencies are."""
    residual = positional_dimensions if has_sines else evenly_spaced
    within = positional_dimensions if is_rotary else evenly_spaced
    heads = evenly_spaced(teacher.heads, student.heads)
    head_dims = within(teacher.head_dim, student.head_dim).expand(student.heads, -1)
    neurons = evenly_spaced(teacher.ffn, student.ffn)
    return Selection(
        layers=list(range(student.layers)),
        residual=residual(teacher.hidden, student.hidden),
        heads=[heads] * student.layers,
        head_dims=[head_dims] * student.layers,
        neurons=[neurons] * student.layers,
        cross_heads=[heads] * student.layers,
        cross_head_dims=[head_dims] * student.layers,
    )
