"""Copying selected rows and columns of a teacher into a student (weight subcloning, Samragh et al., 2023)."""

import math
from typing import Any

import torch
from torch import nn

from app.domain.architectures import (
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
)
from worker.networks.anatomy import ANATOMIES, MARIAN, HeadParts, Stack, embedding, linear, norm
from worker.transfer.selection import Selection, StackSelections


@torch.no_grad()
def subclone(
    teacher: nn.Module,
    student: nn.Module,
    architecture: EncoderArchitecture,
    shape: EncoderShape,
    selection: Selection,
    *,
    rescale: bool = True,
    with_head: bool = True,
) -> None:
    """Write the selected part of a teacher into a student of ``shape``, in place.

    A matrix that reads fewer inputs is multiplied by sqrt(inputs before / inputs after), so that its outputs
    keep their spread (their section 3.3); queries by sqrt(head width after / before) instead, so that
    attention keeps its temperature.

    Args:
        teacher: the network copied from.
        student: the network written to.
        architecture: the teacher's layout.
        shape: the student's dimensions.
        selection: what is kept.
        rescale: whether to multiply at all.
        with_head: whether the head is copied too.
    """
    anatomy = ANATOMIES[architecture.family]
    keep = selection.residual

    for name in anatomy.embeddings:
        embedding(student, name).weight.copy_(embedding(teacher, name).weight[:, keep])
    _copy_norm(norm(teacher, anatomy.embedding_norm), norm(student, anatomy.embedding_norm), keep)

    _copy_layers(
        teacher,
        student,
        anatomy,
        selection,
        widths=(architecture.shape.head_dim, shape.head_dim),
        reads=keep,
        rescale=rescale,
    )
    if with_head:
        _copy_head(teacher, student, anatomy.head_of(student), keep, rescale=rescale)


@torch.no_grad()
def subclone_stacks(
    teacher: nn.Module,
    student: nn.Module,
    architecture: EncoderDecoderArchitecture,
    shape: EncoderDecoderShape,
    selections: StackSelections,
    *,
    rescale: bool = True,
) -> None:
    """The same for a translation model; its arguments are those of ``subclone``."""
    config: Any = student.config
    for name, stack in (("encoder", MARIAN.encoder), ("decoder", MARIAN.decoder)):
        ours, theirs = getattr(architecture.shape, name), getattr(shape, name)
        selection: Selection = getattr(selections, name)
        _copy_layers(
            teacher,
            student,
            stack,
            selection,
            widths=(ours.head_dim, theirs.head_dim),
            reads=selections.encoder.residual,
            rescale=rescale,
        )
    for name, side in MARIAN.word_tables(shape).items():
        keep = getattr(selections, side).residual
        table = embedding(teacher, MARIAN.word_table(architecture.shape, side)).weight[:, keep]
        # Marian multiplies what it looks up by the root of the width.
        growth = _growth(architecture.shape, shape, side) if rescale and config.scale_embedding else 1.0
        embedding(student, name).weight.copy_(growth * table)
    if rescale and not config.scale_embedding:
        # A decoder's states meet the output's words: a sum over fewer dimensions is to be as large as before.
        growth = _growth(architecture.shape, shape, "decoder")
        last = MARIAN.decoder.norm(student, shape.decoder_layers - 1, "ffn_norm")
        last.weight.mul_(growth)
        last.bias.mul_(growth)
    student.get_buffer("final_logits_bias").copy_(teacher.get_buffer("final_logits_bias"))


def _growth(teacher: EncoderDecoderShape, student: EncoderDecoderShape, side: str) -> float:
    """The root of how many times narrower a side has become."""
    return math.sqrt(getattr(teacher, side).hidden / getattr(student, side).hidden)


def _copy_layers(
    teacher: nn.Module,
    student: nn.Module,
    stack: Stack,
    selection: Selection,
    *,
    widths: tuple[int, int],
    reads: torch.Tensor,
    rescale: bool,
) -> None:
    """The layers of one stack.

    Args:
        teacher: copied from.
        student: written to.
        stack: where the layers lie.
        selection: what is kept of them.
        widths: of a head, in the teacher and in the student.
        reads: the encoder's residual dimensions, which a decoder's attention to it reads.
        rescale: whether matrices and queries are multiplied.
    """
    keep = selection.residual
    temperature = math.sqrt(widths[1] / widths[0]) if rescale else 1.0
    for index, source in enumerate(selection.layers):
        context = selection.context(index, widths[0])
        neurons = selection.neurons[index]
        ends = {
            "query": (context, keep),
            "key": (context, keep),
            "value": (context, keep),
            "attention_output": (keep, context),
            "ffn_in": (neurons, keep),
            "ffn_out": (keep, neurons),
        }
        queries, norms = ["query"], ["attention_norm", "ffn_norm"]
        if stack.layer.cross_query:
            cross = selection.cross_context(index, widths[0])
            ends |= {
                "cross_query": (cross, keep),
                "cross_key": (cross, reads),
                "cross_value": (cross, reads),
                "cross_output": (keep, cross),
            }
            queries.append("cross_query")
            norms.append("cross_norm")
        for role, (rows, columns) in ends.items():
            _copy_linear(
                stack.linear(teacher, source, role),
                stack.linear(student, index, role),
                rows,
                columns,
                rescale=rescale,
            )
        for role in queries:
            query = stack.linear(student, index, role)
            query.weight.mul_(temperature)
            query.bias.mul_(temperature)
        for role in norms:
            _copy_norm(stack.norm(teacher, source, role), stack.norm(student, index, role), keep)


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
