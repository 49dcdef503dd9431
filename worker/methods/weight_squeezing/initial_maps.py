"""Where the maps of Weight Squeezing start.

Every kind leaves the student's dense parameters (biases, norms, classifier) started as well. ``select`` is
the sub-cloned teacher; ``pca`` turns the residual stream onto the principal directions of the teacher's
activations; ``svd`` and ``gauss`` treat each matrix by itself.

Shapes: W_t (n, m), L (a, n) or (h, j, k), R (m, b) or (h, k, j); D and d are the teacher's and student's
width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.core.shapes import EncoderCard, Shape
from worker.modeling.anatomy import ANATOMIES
from worker.modeling.calibration import Activations
from worker.modeling.selection import Selection

MATRIX_ROLES = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")


@dataclass(frozen=True)
class Maps:
    """The two maps of one teacher matrix, and the part of it that they map."""

    weight: Tensor
    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class StreamMaps:
    """Between the residual streams: the teacher's is read as ``read`` s, the student's written as ``write``
    x."""

    read: Tensor
    """(D, d)."""
    write: Tensor
    """(d, D)."""
    embed: Tensor
    """(D, d): from teacher embeddings to student embeddings."""


def stream_by_selection(selection: Selection, card: EncoderCard) -> StreamMaps:
    """Read and write the kept dimensions; reading fewer of them is made up for by their square root."""
    keep = selection.residual
    select = torch.eye(card.shape.hidden)[keep]  # (d, D)
    scale = math.sqrt(card.shape.hidden / len(keep))
    return StreamMaps(read=scale * select.T, write=select, embed=select.T.clone())
