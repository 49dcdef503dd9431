"""Copying selected rows and columns of a teacher into a student (weight subcloning, Samragh et al., 2023)."""

import math

import torch
from torch import nn

from app.core.shapes import EncoderCard, Shape
from worker.modeling.anatomy import ANATOMIES, HeadParts, embedding, linear, norm
from worker.modeling.selection import Selection


@torch.no_grad()
def subclone(
    teacher: nn.Module,
    student: nn.Module,
    card: EncoderCard,
    shape: Shape,
    selection: Selection,
    *,
    rescale: bool = True,
) -> None:
    """Write the selected part of a teacher into a student of ``shape``, in place.

    A matrix that reads fewer inputs is multiplied by sqrt(inputs before / inputs after), so that its outputs
    keep their spread (their section 3.3); queries by sqrt(head width after / before) instead, so that
    attention keeps its temperature.

    Args:
        teacher: the network copied from.
        student: the network written to.
        card: the teacher's layout.
        shape: the student's dimensions.
        selection: what is kept.
        rescale: whether to multiply at all.
    """
    anatomy = ANATOMIES[card.architecture]
    keep = selection.residual

    for name in anatomy.embeddings:
        embedding(student, name).weight.copy_(embedding(teacher, name).weight[:, keep])
    _copy_norm(norm(teacher, anatomy.embedding_norm), norm(student, anatomy.embedding_norm), keep)

    for index, source in enumerate(selection.layers):
        context = selection.context(index, card.shape.head_dim)
        neurons = selection.neurons[index]
        ends = {
            "query": (context, keep),
            "key": (context, keep),
            "value": (context, keep),
            "attention_output": (keep, context),
            "ffn_in": (neurons, keep),
            "ffn_out": (keep, neurons),
        }
        for role, (rows, columns) in ends.items():
            _copy_linear(
                anatomy.linear(teacher, source, role),
                anatomy.linear(student, index, role),
                rows,
                columns,
                rescale=rescale,
            )
        temperature = math.sqrt(shape.head_dim / card.shape.head_dim) if rescale else 1.0
        query = anatomy.linear(student, index, "query")
        query.weight.mul_(temperature)
        query.bias.mul_(temperature)
        for role in ("attention_norm", "ffn_norm"):
            _copy_norm(anatomy.norm(teacher, source, role), anatomy.norm(student, index, role), keep)

    _copy_head(teacher, student, anatomy.head_of(student), keep, rescale=rescale)


def _copy_head(
    teacher: nn.Module, student: nn.Module, head: HeadParts, keep: torch.Tensor, *, rescale: bool
) -> None:
    if head.dense is not None:
        dense_t, dense_s = linear(teacher, head.dense), linear(student, head.dense)
        _copy_linear(dense_t, dense_s, keep, keep, rescale=rescale)
    output_t, output_s = linear(teacher, head.output), linear(student, head.output)
    if head.norm is None:
        outputs = torch.arange(output_t.out_features)
        _copy_linear(output_t, output_s, outputs, keep, rescale=rescale)
        return
    # The output's matrix is the word table, which stands already.
    norm_t, norm_s = norm(teacher, head.norm), norm(student, head.norm)
    _copy_norm(norm_t, norm_s, keep)
    if rescale:
        scale = math.sqrt(output_t.in_features / len(keep))
        norm_s.weight.mul_(scale)
        norm_s.bias.mul_(scale)
    output_s.bias.copy_(output_t.bias)


def _copy_linear(
    source: nn.Linear, target: nn.Linear, rows: torch.Tensor, columns: torch.Tensor, *, rescale: bool
) -> None:
    scale = math.sqrt(source.in_features / len(columns)) if rescale else 1.0
    target.weight.copy_(scale * source.weight[rows][:, columns])
    target.bias.copy_(source.bias[rows])


def _copy_norm(source: nn.LayerNorm, target: nn.LayerNorm, keep: torch.Tensor) -> None:
    target.weight.copy_(source.weight[keep])
    target.bias.copy_(source.bias[keep])
