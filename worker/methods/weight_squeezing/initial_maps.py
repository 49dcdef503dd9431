"""Where the maps of Weight Squeezing start, without looking at the teacher's activations.

Shapes: W_t (n, m), L (a, n) or (h, j, k), R (m, b) or (h, k, j); D and d are the teacher's and student's
width, F and f their ffn.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from app.domain.architectures import Architecture, EncoderArchitecture, EncoderDecoderArchitecture
from worker.methods.weight_squeezing.stack_pairs import Attention, StackView, attentions
from worker.networks.anatomy import ANATOMIES, MARIAN, embedding, linear
from worker.numerics.least_squares import singular_directions


@dataclass(frozen=True)
class Maps:
    """A part of a teacher matrix and the two maps that squeeze it."""

    weight: Tensor
    """W_t, (n, m), without the heads that the student has not."""
    rows: Tensor
    """L."""
    columns: Tensor
    """R."""


@dataclass(frozen=True)
class TableMap:
    """A teacher's table and the map that squeezes it."""

    table: Tensor
    """(V, D)."""
    columns: Tensor
    """R, (D, d)."""


@dataclass(frozen=True)
class InitialMaps:
    """Every map of a student, by the name of the parameter that it makes."""

    matrices: Mapping[str, Maps]
    tables: Mapping[str, TableMap]
    projection: Tensor
    """From the teacher's residual stream to the student's, (D, d); of a decoder where there is one."""


def selecting_maps(
    teacher: nn.Module, views: Mapping[str, StackView], tables: Mapping[str, TableMap]
) -> InitialMaps:
    """Selectors: the squeezed student is the sub-cloned one, scales included."""
    matrices: dict[str, Maps] = {}
    for view in views.values():
        for layer in range(view.student.layers):
            for attention in attentions(view.stack):
                matrices |= _selecting_attention(teacher, view, layer, attention)
            matrices |= _selecting_feed_forward(teacher, view, layer)
    *_, last = views.values()
    return InitialMaps(matrices, tables, projection=last.residual_selector().T)


def selecting_tables(
    teacher: nn.Module, architecture: Architecture, student: Architecture, views: Mapping[str, StackView]
) -> dict[str, TableMap]:
    """The tables of a student, by name, on the dimensions that it keeps."""
    if isinstance(architecture, EncoderArchitecture):
        keep = views["encoder"].residual_selector().T  # (D, d)
        names = ANATOMIES[architecture.family].embeddings
        return {f"{name}.weight": TableMap(embedding(teacher, name).weight, keep) for name in names}
    assert isinstance(architecture, EncoderDecoderArchitecture)
    assert isinstance(student, EncoderDecoderArchitecture)
    config: Any = teacher.config

    def growth(view: StackView) -> float:
        """Marian multiplies what it looks up by the root of the width."""
        return math.sqrt(view.teacher.hidden / view.student.hidden) if config.scale_embedding else 1.0

    return {
        f"{name}.weight": TableMap(
            embedding(teacher, MARIAN.word_table(architecture.shape, side)).weight,
            growth(views[side]) * views[side].residual_selector().T,
        )
        for name, side in MARIAN.word_tables(student.shape).items()
    }


def narrowed(maps: InitialMaps, network: nn.Module, architecture: EncoderArchitecture) -> InitialMaps:
    """The maps of a student whose word table is factorised: E_t R P^T+ makes the table, P trains densely.

    Args:
        maps: of the same student with a whole table, E_t R.
        network: the student, its factors standing.
        architecture: the student's.
    """
    words, *others = ANATOMIES[architecture.family].embeddings
    whole = maps.tables[f"{words}.weight"]
    widen = linear(network, f"{words}.1").weight.detach()  # P, (d, e)
    tables = {f"{words}.0.weight": TableMap(whole.table, whole.columns @ torch.linalg.pinv(widen.T))}
    tables |= {f"{name}.weight": maps.tables[f"{name}.weight"] for name in others}
    return replace(maps, tables=tables)


def singular_maps(
    teacher: nn.Module, views: Mapping[str, StackView], tables: Mapping[str, TableMap]
) -> InitialMaps:
    """Top singular directions of each matrix; of each head's block where a side is made of heads."""
    maps = selecting_maps(teacher, views, tables)
    matrices = {}
    for name, start in maps.matrices.items():
        rows, columns = start.rows, start.columns
        left, right = _singular_directions(start.weight, a=_outputs(rows), b=_outputs(columns.mT))
        if rows.ndim == 3:
            left = _by_head(start.weight, rows.shape[0], rows.shape[1])
        if columns.ndim == 3:
            right = _by_head(start.weight.T, columns.shape[0], columns.shape[2]).mT
        matrices[name] = Maps(start.weight, left, right)
    words, *_ = tables.values()
    right = singular_directions(words.table, words.columns.shape[1])
    squeezed = {
        name: replace(start, columns=right if start.columns.shape == right.shape else start.columns)
        for name, start in tables.items()
    }
    return InitialMaps(matrices, squeezed, projection=next(iter(squeezed.values())).columns)


def random_maps(
    teacher: nn.Module, views: Mapping[str, StackView], tables: Mapping[str, TableMap]
) -> InitialMaps:
    """Gaussian maps that keep the spread of outputs: variance 1/n on the left, 1/b on the right.

    1/m would keep the spread of the weights; a student that sums over b inputs instead of m needs m/b more.
    """
    maps = selecting_maps(teacher, views, tables)
    matrices = {
        name: Maps(
            start.weight,
            torch.randn_like(start.rows) / math.sqrt(start.rows.shape[-1]),
            torch.randn_like(start.columns) / math.sqrt(start.columns.shape[-1]),
        )
        for name, start in maps.matrices.items()
    }
    drawn: dict[tuple[int, ...], Tensor] = {}
    squeezed = {}
    for name, start in tables.items():  # what is added up is squeezed alike
        shape = tuple(start.columns.shape)
        if shape not in drawn:
            drawn[shape] = torch.randn_like(start.columns) / math.sqrt(shape[0])
        squeezed[name] = replace(start, columns=drawn[shape])
    return InitialMaps(matrices, squeezed, projection=next(iter(squeezed.values())).columns)


def _selecting_attention(
    teacher: nn.Module, view: StackView, layer: int, attention: Attention
) -> dict[str, Maps]:
    keep = view.residual_selector()  # (d, D)
    read = _grown(keep.T)
    memory = _grown(view.memory_selector().T) if attention.reads_encoder else read
    heads = view.head_selector(layer, attention)  # (h, j, k)
    temperature = math.sqrt(view.student.head_dim / view.teacher.head_dim)
    # A context as wide as all the teacher's heads: those that are not kept are no inputs any more.
    context_scale = math.sqrt(view.teacher.hidden / view.student.hidden)
    ends = {
        attention.query: (temperature * heads, read),
        attention.key: (heads, memory),
        attention.value: (heads, memory),
        attention.output: (keep, context_scale * heads.transpose(1, 2)),
    }
    return {
        view.name(layer, role): Maps(view.kept_weight(teacher, layer, role, attention), rows, columns)
        for role, (rows, columns) in ends.items()
    }


def _selecting_feed_forward(teacher: nn.Module, view: StackView, layer: int) -> dict[str, Maps]:
    keep, neurons = view.residual_selector(), view.neuron_selector(layer)  # (d, D), (f, F)
    return {
        view.name(layer, "ffn_in"): Maps(view.weight(teacher, layer, "ffn_in"), neurons, _grown(keep.T)),
        view.name(layer, "ffn_out"): Maps(view.weight(teacher, layer, "ffn_out"), keep, _grown(neurons.T)),
    }


def _grown(columns: Tensor) -> Tensor:
    """A selector (m, b) times sqrt(m / b): a sum over fewer inputs keeps its spread."""
    inputs, kept = columns.shape
    return math.sqrt(inputs / kept) * columns


def _outputs(rows: Tensor) -> int:
    """How many rows a row map makes."""
    return rows.shape[0] if rows.ndim == 2 else rows.shape[0] * rows.shape[1]


def _singular_directions(weight: Tensor, *, a: int, b: int) -> tuple[Tensor, Tensor]:
    """L (a, n) and R (m, b) such that L W R holds the top singular values on its diagonal."""
    left, _, right = torch.linalg.svd(weight, full_matrices=True)
    return left[:, :a].T.contiguous(), right[:b].T.contiguous()


def _by_head(weight: Tensor, heads: int, kept: int) -> Tensor:
    """(h, j, k): top left singular directions of each head's rows of (h k, m)."""
    blocks = weight.reshape(heads, -1, weight.shape[1])  # (h, k, m)
    directions: Tensor = torch.linalg.svd(blocks, full_matrices=False).U
    return directions[:, :, :kept].mT.contiguous()
