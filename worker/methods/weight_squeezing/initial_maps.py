"""Where the maps of Weight Squeezing start, without looking at the teacher's activations.

Shapes: W_t (n, m), L (a, n) or (h, j, k), R (m, b) or (h, k, j); D and d are the teacher's and student's
width, F and f their ffn.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.core.shapes import EncoderCard, Shape
from worker.modeling.anatomy import ANATOMIES, embedding
from worker.modeling.selection import Selection

Place = tuple[int, str]
"""A student layer and a role in it."""


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
class InitialMaps:
    """Every map of a student."""

    matrices: dict[Place, Maps]
    embeddings: Tensor
    """R of the embedding tables, (D, d)."""


def selecting_maps(teacher: nn.Module, card: EncoderCard, shape: Shape, selection: Selection) -> InitialMaps:
    """Selectors: the squeezed student is the sub-cloned one, scales included."""
    t = card.shape
    keep = selector(selection.residual, t.hidden)  # (d, D)
    read = math.sqrt(t.hidden / shape.hidden) * keep.T
    matrices: dict[Place, Maps] = {}
    for layer in range(shape.layers):
        heads = head_selector(selection, layer, t.head_dim)  # (h, j, k)
        neurons = selector(selection.neurons[layer], t.ffn)  # (f, F)
        temperature = math.sqrt(shape.head_dim / t.head_dim)
        context_scale = math.sqrt(t.hidden / shape.hidden)
        ends = {
            "query": (temperature * heads, read),
            "key": (heads, read),
            "value": (heads, read),
            "attention_output": (keep, context_scale * heads.transpose(1, 2)),
            "ffn_in": (neurons, read),
            "ffn_out": (keep, math.sqrt(t.ffn / shape.ffn) * neurons.T),
        }
        for role, (rows, columns) in ends.items():
            weight = kept_weight(teacher, card, selection, layer, role)
            matrices[layer, role] = Maps(weight, rows, columns)
    return InitialMaps(matrices, embeddings=keep.T)


def singular_maps(teacher: nn.Module, card: EncoderCard, shape: Shape, selection: Selection) -> InitialMaps:
    """Top singular directions of each matrix; of each head's block where a side is made of heads."""
    maps = selecting_maps(teacher, card, shape, selection)
    matrices = {}
    for place, start in maps.matrices.items():
        rows, columns = start.rows, start.columns
        left, right = _singular_directions(start.weight, a=_outputs(rows), b=_outputs(columns.mT))
        if rows.ndim == 3:
            left = _by_head(start.weight, rows.shape[0], rows.shape[1])
        if columns.ndim == 3:
            right = _by_head(start.weight.T, columns.shape[0], columns.shape[2]).mT
        matrices[place] = Maps(start.weight, left, right)
    words = embedding(teacher, ANATOMIES[card.architecture].embeddings[0]).weight
    _, right = _singular_directions(words, a=1, b=shape.hidden)
    return InitialMaps(matrices, embeddings=right)


def random_maps(teacher: nn.Module, card: EncoderCard, shape: Shape, selection: Selection) -> InitialMaps:
    """Gaussian maps that keep the spread of outputs: variance 1/n on the left, 1/b on the right.

    1/m would keep the spread of the weights; a student that sums over b inputs instead of m needs m/b more.
    """
    maps = selecting_maps(teacher, card, shape, selection)
    matrices = {
        place: Maps(
            start.weight,
            torch.randn_like(start.rows) / math.sqrt(start.rows.shape[-1]),
            torch.randn_like(start.columns) / math.sqrt(start.columns.shape[-1]),
        )
        for place, start in maps.matrices.items()
    }
    embeddings = torch.randn_like(maps.embeddings) / math.sqrt(card.shape.hidden)
    return InitialMaps(matrices, embeddings=embeddings)


def kept_weight(teacher: nn.Module, card: EncoderCard, selection: Selection, layer: int, role: str) -> Tensor:
    """The teacher matrix of a student's place, of the heads that the student has."""
    matrix = ANATOMIES[card.architecture].linear(teacher, selection.layers[layer], role).weight.detach()
    if role not in ("query", "key", "value", "attention_output"):
        return matrix
    width = card.shape.head_dim
    within = torch.arange(width, device=matrix.device)
    kept = (selection.heads[layer][:, None] * width + within).flatten()  # (h k,)
    return matrix[:, kept] if role == "attention_output" else matrix[kept]


def head_selector(selection: Selection, layer: int, head_dim: int) -> Tensor:
    """(h, j, k): the kept dimensions within each kept head."""
    return torch.stack([selector(dims, head_dim) for dims in selection.head_dims[layer]])


def selector(indices: Tensor, size: int) -> Tensor:
    """Rows of the identity: (len(indices), size)."""
    return torch.eye(size, device=indices.device)[indices]


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
