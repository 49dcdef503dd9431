"""Where the maps of Weight Squeezing start, without looking at the teacher's activations.

Shapes: W_t (n, m), L (a, n) or (h, j, k), R (m, b) or (h, k, j); D and d are the teacher's and student's
width, F and f their ffn.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from worker.methods.weight_squeezing.stack_pairs import StackPair
from worker.networks.layer_views import AttentionView, LayerView
from worker.networks.parts import Matrix
from worker.networks.views import EncoderView, StackView
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
    layers: Mapping[str, LayerView]
    """The student's layer of each matrix, by the name of its parameter."""


def selecting_maps(pairs: Sequence[StackPair], tables: Mapping[str, TableMap]) -> InitialMaps:
    """Selectors: the squeezed student is the sub-cloned one, scales included."""
    matrices: dict[str, Maps] = {}
    for pair in pairs:
        for layer, source, target in pair.layers:
            for ours, theirs in zip(source.attentions, target.attentions, strict=True):
                matrices |= _selecting_attention(pair, layer, ours, theirs)
            matrices |= _selecting_feed_forward(pair, layer, source, target)
    projection = pairs[-1].residual_selector().T
    return InitialMaps(matrices, tables, projection, layers_by_matrix(pairs))


def layers_by_matrix(pairs: Sequence[StackPair]) -> dict[str, LayerView]:
    """The student's layer of each matrix, by the name of its parameter."""
    layers = [layer for pair in pairs for layer in pair.student.layers]
    return {matrix.weight_name: layer for layer in layers for matrix in layer.matrices}


def selecting_tables(pairs: Sequence[StackPair]) -> dict[str, TableMap]:
    """The tables of a student, by name, on the dimensions that it keeps; one that stacks share once."""
    tables: dict[str, TableMap] = {}
    for pair in pairs:
        if pair.teacher.projection is not None:
            tables |= whole_tables(pair.teacher)
            continue
        config: Any = pair.teacher.network.config
        # Marian multiplies what it looks up by the root of the width.
        narrower = pair.teacher.shape.hidden / pair.student.shape.hidden
        growth = math.sqrt(narrower) if getattr(config, "scale_embedding", False) else 1.0
        columns = growth * pair.residual_selector().T  # (D, d)
        for source, target in zip(pair.teacher.embeddings, pair.student.embeddings, strict=True):
            tables[target.weight_name] = TableMap(source.weight, columns)
    return tables


def whole_tables(teacher: StackView) -> dict[str, TableMap]:
    """Tables that keep their width, because a projection follows them."""
    width = teacher.embeddings.words.weight.shape[1]
    return {
        table.weight_name: TableMap(table.weight, torch.eye(width, device=table.weight.device))
        for table in teacher.embeddings
    }


def _keeps_tables(pairs: Sequence[StackPair]) -> bool:
    return pairs[0].student.projection is not None


def narrowed(maps: InitialMaps, student: EncoderView) -> InitialMaps:
    """The maps of a student whose word table is factorised: E_t R P^T+ makes the table, P trains densely.

    Args:
        maps: of the same student with a whole table, E_t R.
        student: its factors standing.
    """
    words = student.embeddings.words
    whole = maps.tables[words.weight_name]
    narrow, widen = words.factors
    columns = whole.columns @ torch.linalg.pinv(widen.weight.detach().T)  # P, (d, e)
    tables = {narrow.weight_name: TableMap(whole.table, columns)}
    tables |= {table.weight_name: maps.tables[table.weight_name] for table in student.embeddings.others}
    return replace(maps, tables=tables)


def singular_maps(pairs: Sequence[StackPair], tables: Mapping[str, TableMap]) -> InitialMaps:
    """Top singular directions of each matrix; of each head's block where a side is made of heads."""
    maps = selecting_maps(pairs, tables)
    matrices = {}
    for name, start in maps.matrices.items():
        rows, columns = start.rows, start.columns
        left, right = _singular_directions(start.weight, a=_outputs(rows), b=_outputs(columns.mT))
        if rows.ndim == 3:
            left = _by_head(start.weight, rows.shape[0], rows.shape[1])
        if columns.ndim == 3:
            right = _by_head(start.weight.T, columns.shape[0], columns.shape[2]).mT
        matrices[name] = Maps(start.weight, left, right)
    if _keeps_tables(pairs):
        return replace(maps, matrices=matrices)
    words, *_ = tables.values()
    right = singular_directions(words.table, words.columns.shape[1])
    squeezed = {
        name: replace(start, columns=right if start.columns.shape == right.shape else start.columns)
        for name, start in tables.items()
    }
    projection = next(iter(squeezed.values())).columns
    return replace(maps, matrices=matrices, tables=squeezed, projection=projection)


def random_maps(pairs: Sequence[StackPair], tables: Mapping[str, TableMap]) -> InitialMaps:
    """Gaussian maps that keep the spread of outputs: variance 1/n on the left, 1/b on the right.

    1/m would keep the spread of the weights; a student that sums over b inputs instead of m needs m/b more.
    """
    maps = selecting_maps(pairs, tables)
    matrices = {
        name: Maps(
            start.weight,
            torch.randn_like(start.rows) / math.sqrt(start.rows.shape[-1]),
            torch.randn_like(start.columns) / math.sqrt(start.columns.shape[-1]),
        )
        for name, start in maps.matrices.items()
    }
    if _keeps_tables(pairs):
        return replace(maps, matrices=matrices)
    drawn: dict[tuple[int, ...], Tensor] = {}
    squeezed = {}
    for name, start in tables.items():  # what is added up is squeezed alike
        shape = tuple(start.columns.shape)
        if shape not in drawn:
            drawn[shape] = torch.randn_like(start.columns) / math.sqrt(shape[0])
        squeezed[name] = replace(start, columns=drawn[shape])
    projection = next(iter(squeezed.values())).columns
    return replace(maps, matrices=matrices, tables=squeezed, projection=projection)


def _selecting_attention(
    pair: StackPair, layer: int, source: AttentionView, target: AttentionView
) -> dict[str, Maps]:
    keep = pair.residual_selector()  # (d, D)
    read = _grown(keep.T)
    memory = _grown(pair.memory_selector().T) if source.reads_encoder else read
    heads = pair.head_selector(layer, source)  # (h, j, k)
    temperature = math.sqrt(target.head_dim / source.head_dim)
    # A context as wide as all the teacher's heads: those that are not kept are no inputs any more.
    context_scale = math.sqrt(pair.teacher.shape.hidden / pair.student.shape.hidden)

    def maps(matrix: Matrix, rows: Tensor, columns: Tensor) -> Maps:
        return Maps(pair.kept_weight(layer, matrix), rows, columns)

    return {
        target.query.weight_name: maps(source.query, temperature * heads, read),
        target.key.weight_name: maps(source.key, heads, memory),
        target.value.weight_name: maps(source.value, heads, memory),
        target.output.weight_name: maps(source.output, keep, context_scale * heads.transpose(1, 2)),
    }


def _selecting_feed_forward(
    pair: StackPair, layer: int, source: LayerView, target: LayerView
) -> dict[str, Maps]:
    keep, neurons = pair.residual_selector(), pair.neuron_selector(layer)  # (d, D), (f, F)
    maps = {
        ours.weight_name: Maps(theirs.weight.detach(), neurons, _grown(keep.T))
        for theirs, ours in zip(source.ffn_readers, target.ffn_readers, strict=True)
    }
    maps[target.ffn_out.weight_name] = Maps(source.ffn_out.weight.detach(), keep, _grown(neurons.T))
    return maps


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
