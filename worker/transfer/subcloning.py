"""Copying selected rows and columns of a teacher into a student (weight subcloning, Samragh et al., 2023)."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from worker.networks.parts import Axis, Matrix, Norm
from worker.networks.views import EncoderView, HeadView, NetworkView, StackView, TranslatorView
from worker.transfer.selection import Selection

_Indices = torch.Tensor | slice
_WHOLE = slice(None)


@torch.no_grad()
def subclone(
    teacher: NetworkView,
    student: NetworkView,
    selections: Sequence[Selection],
    *,
    rescale: bool = True,
    with_head: bool = True,
) -> None:
    """Write the selected part of a teacher into a student, in place.

    A matrix that reads fewer inputs is multiplied by sqrt(inputs before / inputs after), so that its outputs
    keep their spread (their section 3.3); queries by sqrt(head width after / before) instead, so that
    attention keeps its temperature.

    Args:
        teacher: the network copied from.
        student: the network written to.
        selections: what is kept of each stack.
        rescale: whether to multiply at all.
        with_head: whether the head is copied too; that of a translation model is its word table.
    """
    memory = selections[0].residual
    for source, target, selection in zip(teacher.stacks, student.stacks, selections, strict=True):
        copy_relative_bias(source, target, selection)
        _copy_distances(source, target, selection.residual)
        _copy_layers(source, target, selection, memory=memory, rescale=rescale)
        if source.final_norm is not None and target.final_norm is not None:
            _copy_norm(source.final_norm, target.final_norm, selection.residual)
    match teacher, student:
        case EncoderView(), EncoderView():
            copy_embeddings(teacher, student, memory)
            if teacher.projection is not None and student.projection is not None:
                _copy_matrix(teacher.projection, student.projection, memory, _WHOLE, rescale=rescale)
            if with_head:
                _copy_head(teacher.head, student.head, memory, rescale=rescale)
        case TranslatorView(), TranslatorView():
            _copy_words(teacher, student, selections, rescale=rescale)


@torch.no_grad()
def copy_embeddings(teacher: EncoderView, student: EncoderView, keep: torch.Tensor) -> None:
    """The tables and their norm, of the dimensions that are kept; of all where a projection follows them."""
    columns = keep if teacher.projection is None else _WHOLE
    for source, target in zip(teacher.embeddings, student.embeddings, strict=True):
        target.weight.copy_(source.weight[:, columns])
    _copy_norm(teacher.embedding_norm, student.embedding_norm, columns)


@torch.no_grad()
def copy_relative_bias(teacher: StackView, student: StackView, selection: Selection) -> None:
    """What distances add to the scores of the heads that are kept, which are the same in all layers."""
    if teacher.relative_bias is not None and student.relative_bias is not None:
        student.relative_bias.weight.copy_(teacher.relative_bias.weight[:, selection.heads[0]])


@torch.no_grad()
def map_distances(teacher: StackView, student: StackView, write: torch.Tensor) -> None:
    """Bring what queries and keys read beside states to the student's dimensions.

    Args:
        teacher: whose distances they are.
        student: written to.
        write: (d, D), from the teacher's stream to the student's.
    """
    if teacher.distances is None or student.distances is None:
        return
    read = teacher.distances.table.weight
    if teacher.distances.norm is not None:
        read = teacher.distances.norm.layer(read)
    wanted = read @ write.T  # (distances, d)
    student.distances.table.weight.copy_(wanted)
    if student.distances.norm is not None:
        student.distances.norm.fit(wanted, wanted)


def _copy_distances(teacher: StackView, student: StackView, keep: torch.Tensor) -> None:
    """What queries and keys read beside states, of the dimensions that are kept."""
    if teacher.distances is None or student.distances is None:
        return
    student.distances.table.weight.copy_(teacher.distances.table.weight[:, keep])
    if teacher.distances.norm is not None and student.distances.norm is not None:
        _copy_norm(teacher.distances.norm, student.distances.norm, keep)


def _copy_words(
    teacher: TranslatorView, student: TranslatorView, selections: Sequence[Selection], *, rescale: bool
) -> None:
    """The tables of a translation model, the decoder's being the output's too, and the output's bias."""
    config: Any = student.network.config
    for source, target, selection in zip(teacher.stacks, student.stacks, selections, strict=True):
        # Marian multiplies what it looks up by the root of the width.
        growth = _growth(source, target) if rescale and config.scale_embedding else 1.0
        words = source.embeddings.words.weight[:, selection.residual]
        target.embeddings.words.weight.copy_(growth * words)
    if rescale and not config.scale_embedding:
        # A decoder's states meet the output's words: a sum over fewer dimensions is to be as large as before.
        _scale(student.decoder.layers[-1].ffn_norm, _growth(teacher.decoder, student.decoder))
    bias = teacher.network.get_buffer("final_logits_bias")
    student.network.get_buffer("final_logits_bias").copy_(bias)


def _growth(teacher: StackView, student: StackView) -> float:
    """The root of how many times narrower a stack has become."""
    return math.sqrt(teacher.shape.hidden / student.shape.hidden)


def _copy_layers(
    teacher: StackView, student: StackView, selection: Selection, *, memory: torch.Tensor, rescale: bool
) -> None:
    """The layers of one stack.

    Args:
        teacher: copied from.
        student: written to.
        selection: what is kept of them.
        memory: the encoder's residual dimensions, which a decoder's attention to it reads.
        rescale: whether matrices and queries are multiplied.
    """
    width = teacher.shape.head_dim
    temperature = math.sqrt(student.shape.head_dim / width) if rescale else 1.0
    for index, (layer, target) in enumerate(zip(selection.layers, student.layers, strict=True)):
        source = teacher.layers[layer]
        kept = {
            Axis.RESIDUAL: selection.residual,
            Axis.MEMORY: memory,
            Axis.NEURONS: selection.neurons[index],
            **{each.axis: selection.context(index, width, each.axis) for each in source.attentions},
        }
        for matrix_t, matrix_s in zip(source.matrices, target.matrices, strict=True):
            _copy_matrix(matrix_t, matrix_s, kept[matrix_t.rows], kept[matrix_t.columns], rescale=rescale)
        for attention in target.attentions:
            _scale(attention.query, temperature)
        for norm_t, norm_s in zip(source.norms, target.norms, strict=True):
            _copy_norm(norm_t, norm_s, selection.residual)


def _copy_head(teacher: HeadView, student: HeadView, keep: torch.Tensor, *, rescale: bool) -> None:
    inner = _WHOLE if teacher.output.columns is Axis.EMBEDDING else keep
    if teacher.dense is not None and student.dense is not None:
        _copy_matrix(teacher.dense, student.dense, inner, keep, rescale=rescale)
    if teacher.norm is not None and student.norm is not None:
        _copy_norm(teacher.norm, student.norm, inner)
    output = teacher.output.linear
    if not teacher.is_tied:
        outputs = torch.arange(output.out_features)
        _copy_matrix(teacher.output, student.output, outputs, keep, rescale=rescale)
        return
    # The output's matrix is the word table, which stands already.
    if rescale and student.norm is not None:
        _scale(student.norm, math.sqrt(output.in_features / student.output.linear.in_features))
    student.output.linear.bias.copy_(output.bias)


def _copy_matrix(source: Matrix, target: Matrix, rows: _Indices, columns: _Indices, *, rescale: bool) -> None:
    scale = math.sqrt(source.linear.in_features / target.linear.in_features) if rescale else 1.0
    target.write(scale * source.weight[rows][:, columns], _of(source.bias, rows))


def _copy_norm(source: Norm, target: Norm, keep: _Indices) -> None:
    target.write(source.weight[keep], _of(source.bias, keep))


def _of(bias: torch.Tensor | None, indices: _Indices) -> torch.Tensor | None:
    return None if bias is None else bias[indices]


def _scale(part: Matrix | Norm, factor: float) -> None:
    part.weight.mul_(factor)
    if part.bias is not None:
        part.bias.mul_(factor)
