"""Products of a teacher's matrix with the small maps that make it a student's.

A map is one matrix, or a block for each head: then it mixes the dimensions of a head alone.

Shapes: W (n, m); h heads of width k in the teacher, j in the student.
"""

from torch import Tensor

from worker.numerics.precision import product


def map_rows(rows: Tensor, weight: Tensor) -> Tensor:
    """L W: (a, n) or (h, j, k), and (n, m) -> (a, m)."""
    if rows.ndim == 2:
        return product(rows, weight)
    heads, _, width = rows.shape
    return product(rows, weight.view(heads, width, -1)).flatten(0, 1)  # (h, j, m) -> (h j, m)


def map_columns(weight: Tensor, columns: Tensor) -> Tensor:
    """W R: (n, m), and (m, b) or (h, k, j) -> (n, b)."""
    if columns.ndim == 2:
        return product(weight, columns)
    heads, width, _ = columns.shape
    by_head = weight.view(len(weight), heads, width).transpose(0, 1)  # (n, h k) -> (h, n, k)
    return product(by_head, columns).transpose(0, 1).flatten(1)  # (h, n, j) -> (n, h j)


def mean_abs_column_sum(factor: Tensor, of: Tensor) -> float:
    """How far an entry of a product moves when all entries of a map move by one, on average.

    Args:
        factor: what the map is multiplied with, (n, b): its absolute column sums count.
        of: the map; one made of h blocks lets each entry move with a block's share of the column.
    """
    blocks = len(of) if of.ndim == 3 else 1
    return float(factor.abs().sum(0).mean()) / blocks
