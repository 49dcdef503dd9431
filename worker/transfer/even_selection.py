"""Selections from indices alone: evenly spaced parts of the first layers (weight selection, Xu et al., 2024).

The paper spaces the rows of a matrix as if they were all alike. Rows of queries, keys and values belong to
heads: here whole heads are spaced, and within each its dimensions, so that no head mixes two.
"""

from dataclasses import replace

import torch
from torch import Tensor

from app.domain.architectures import EncoderDecoderArchitecture, EncoderDecoderShape, EncoderShape
from worker.transfer.selection import Selection, StackSelections, positional_dimensions


def evenly_spaced(length: int, count: int) -> Tensor:
    """``count`` of ``length`` indices: every n-th where that divides, else the nearest to even spacing."""
    if length % count == 0:
        return torch.arange(count) * (length // count)
    return torch.linspace(0, length - 1, count).round().long()


def evenly_spaced_selection(teacher: EncoderShape, student: EncoderShape) -> Selection:
    """What weight selection keeps of an encoder."""
    heads = evenly_spaced(teacher.heads, student.heads)
    head_dims = evenly_spaced(teacher.head_dim, student.head_dim).expand(student.heads, -1)
    neurons = evenly_spaced(teacher.ffn, student.ffn)
    return Selection(
        layers=list(range(student.layers)),
        residual=evenly_spaced(teacher.hidden, student.hidden),
        heads=[heads] * student.layers,
        head_dims=[head_dims] * student.layers,
        neurons=[neurons] * student.layers,
        cross_heads=[heads] * student.layers,
        cross_head_dims=[head_dims] * student.layers,
    )


def evenly_spaced_stack_selections(
    architecture: EncoderDecoderArchitecture, student: EncoderDecoderShape
) -> StackSelections:
    """The same of a translation model, the residual dimensions spaced among sines and among cosines."""
    stacks = {}
    for name in ("encoder", "decoder"):
        ours, theirs = getattr(architecture.shape, name), getattr(student, name)
        residual = positional_dimensions(ours.hidden, theirs.hidden)
        stacks[name] = replace(evenly_spaced_selection(ours, theirs), residual=residual)
    return StackSelections(**stacks)
