"""The maps of Weight Squeezing: W_s = L W_t R, with W_t frozen (Chumachenko et al., 2020).

Shapes: W_t (n, m), L (a, n), R (m, b), W_s (a, b). Where one side of a matrix is made of heads, the map on
that side is block-wise, (h, j, k) on rows and (h, k, j) on columns: h heads, k teacher and j student
dimensions each, so that heads never mix.
"""

import math

import torch
from torch import Tensor, nn

from worker.numerics.precision import product
from worker.parameterization.maps import map_columns, map_rows, mean_abs_column_sum
from worker.parameterization.parameterizations import Generator, MatrixGenerator, TableGenerator


class SqueezedMatrix(MatrixGenerator):
    """W_s = L W_t R."""

    def __init__(
        self, weight: Tensor, rows: nn.Parameter, columns: nn.Parameter, *, rate: float = 1.0
    ) -> None:
        """Hold a teacher matrix and its two maps.

        Args:
            weight: W_t, (n, m).
            rows: L, (a, n), or (h, j, k) with h k = n.
            columns: R, (m, b), or (h, k, j) with h k = m.
            rate: how fast the maps move W_s, as a share of a dense weight's rate.
        """
        super().__init__()
        self.weight: Tensor
        self.register_buffer("weight", weight.detach().clone(), persistent=False)
        self.rows = rows
        self.columns = columns
        self._rate = rate

    @torch.no_grad()
    def rate_ratios(self) -> list[tuple[nn.Parameter, float]]:
        """Rates at which neither map moves an entry of W_s faster than ``rate``.

        Under Adam every entry of a map moves alike, and W_s = L (W_t R) moves with a whole row of L: by as
        much as the absolute column sum of W_t R. Dividing by it makes one rate fit all shapes and starts.
        """
        right, left = map_columns(self.weight, self.columns), map_rows(self.rows, self.weight)
        return [
            (self.rows, self._rate / _reach(right, self.rows)),
            (self.columns, self._rate / _reach(left.T, self.columns)),
        ]

    def forward(self) -> Tensor:
        rows_first, columns_first = _costs(self.weight, self.rows, self.columns)
        if rows_first <= columns_first:
            return map_columns(map_rows(self.rows, self.weight), self.columns)
        return map_rows(self.rows, map_columns(self.weight, self.columns))


class SqueezedTable(TableGenerator):
    """E_s = E_t R: the vocabulary side is never mapped, and only the rows asked for are made."""

    def __init__(self, table: Tensor, columns: nn.Parameter, *, rate: float = 1.0) -> None:
        """Hold a teacher table (V, m) and its map R (m, b); ``rate`` as for ``SqueezedMatrix``."""
        super().__init__()
        self.table: Tensor
        self.register_buffer("table", table.detach(), persistent=False)
        self.columns = columns
        self._rate = rate

    def rate_ratios(self) -> list[tuple[nn.Parameter, float]]:
        return [(self.columns, self._rate / _reach(self.table.T, self.columns))]

    def forward(self, rows: Tensor) -> Tensor:
        return product(self.table[rows], self.columns)


class Gate(nn.Module):
    """g = sigmoid(s), in (0, 1), of a shape that broadcasts against the weight that it mixes."""

    def __init__(self, logit: nn.Parameter, *, rate: float = 1.0) -> None:
        """Hold s; ``rate`` is its learning rate over that of dense weights."""
        super().__init__()
        self.logit = logit
        self.rate = rate

    def forward(self, pretrained: Tensor, squeezed: Tensor) -> Tensor:
        """(1 - g) W_pre + g L W_t R."""
        return torch.lerp(pretrained, squeezed, torch.sigmoid(self.logit).expand_as(squeezed))


class _Gated(Generator):
    """A pretrained weight, itself in training, and a squeezed one, mixed."""

    def __init__(self, pretrained: Tensor, squeezed: Generator, gate: Gate) -> None:
        super().__init__()
        self.pretrained = nn.Parameter(pretrained.detach().clone())
        self.squeezed = squeezed
        self.gate = gate

    def rate_ratios(self) -> list[tuple[nn.Parameter, float]]:
        return [*self.squeezed.rate_ratios(), (self.gate.logit, self.gate.rate)]


class GatedMatrix(_Gated, MatrixGenerator):
    """A whole matrix."""

    def forward(self) -> Tensor:
        mixed: Tensor = self.gate(self.pretrained, self.squeezed())
        return mixed


class GatedTable(_Gated, TableGenerator):
    """Rows of a table."""

    def forward(self, rows: Tensor) -> Tensor:
        mixed: Tensor = self.gate(self.pretrained[rows], self.squeezed(rows))
        return mixed


def _reach(factor: Tensor, of: Tensor) -> float:
    """``reach``; infinity where the factor is all zero, so that what moves nothing stays."""
    return mean_abs_column_sum(factor, of) or math.inf


def multiply_adds(weight: Tensor, rows: Tensor, columns: Tensor) -> int:
    """Multiply-adds of one materialisation, in the order that ``SqueezedMatrix`` takes."""
    return min(_costs(weight, rows, columns))


def _costs(weight: Tensor, rows: Tensor, columns: Tensor) -> tuple[int, int]:
    """Multiply-adds of (L W) R and of L (W R).

    A map costs as many for each column (row) on its other side as it has entries.
    """
    n, m = weight.shape
    a = rows.shape[:-1].numel()
    b = columns.mT.shape[:-1].numel()
    return rows.numel() * m + columns.numel() * a, columns.numel() * n + rows.numel() * b
