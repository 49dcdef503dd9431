"""The compactors of WID: W' = R W L and c' = R c, with R and L square and at first the identity.

Shapes: W (n, m), c (n,), R (n, n), L (m, m); of n and m there are still a and b, so that W' is (a, b). Which
ones is said by their indices, (a,) and (b,), in order.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from worker.numerics.precision import product_dtype


class CompactedLinear(nn.Module):
    """A linear layer of the teacher with a compactor on each side that loses indices."""

    def __init__(self, layer: nn.Linear, *, has_rows: bool) -> None:
        """Hold a copy of a layer between identities.

        Args:
            layer: W and c.
            has_rows: whether its outputs are to become fewer; else there is no R.
        """
        super().__init__()
        outputs, inputs = layer.weight.shape
        device = layer.weight.device
        self.weight = nn.Parameter(layer.weight.detach().clone())
        bias: Tensor | None = layer.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.rows = nn.Parameter(torch.zeros(outputs, outputs, device=device)) if has_rows else None
        """R - I."""
        self.columns = nn.Parameter(torch.zeros(inputs, inputs, device=device))
        """(L - I)ᵀ."""

    def forward(self, rows: Tensor | None, columns: Tensor) -> tuple[Tensor, Tensor | None]:
        """W' (a, b) and c' (a,) or None, of what is there; ``rows`` where there is an R."""
        outputs, inputs = self.weight.shape
        if self.rows is None or rows is None:
            return compacted(self.weight, None, self.columns, None, columns), self.bias
        bias: Tensor | None = self.bias
        if bias is not None:
            bias = selected(bias, rows) + selected(self.rows, rows) @ bias
        a, b = len(rows), len(columns)
        if a * outputs * inputs + a * inputs * b <= outputs * inputs * b + a * outputs * b:
            return compacted(self.weight, self.rows, self.columns, rows, columns), bias
        return compacted(self.weight.T, self.columns, self.rows, columns, rows).T, bias

    @torch.no_grad()
    def read_instead(self, columns: Tensor, kept: Tensor, matrix: Tensor, offset: Tensor) -> None:
        """Read y where x was read, of which it is known that x = M y + o.

        Args:
            columns: of x, (b,).
            kept: of y, (k,); of L only these columns count from now on.
            matrix: M, (b, k).
            offset: o, (b,).
        """
        identity = torch.eye(len(self.columns), device=self.columns.device)
        read = (self.columns + identity).index_select(0, columns)  # (b, m)
        self.shift(self.weight @ (offset @ read))
        self.columns[kept] = matrix.T @ read - identity.index_select(0, kept)

    @torch.no_grad()
    def shift(self, offset: Tensor) -> None:
        """Add to the bias, (n,); of a layer that has none the offset is 0."""
        if self.bias is not None:
            self.bias.add_(offset)

    def mean_abs_column_sums(self) -> list[tuple[nn.Parameter, float]]:
        """Each compactor, and how far an entry of W' moves when all entries of that compactor move by one.

        That is what rates are divided by: an entry of R W L moves with a whole row of R, by the absolute sum
        of a column of W L. Of compactors at the identity; infinite where W is nothing that could move.
        """
        sizes = self.weight.detach().abs()
        found = [(self.columns, float(sizes.sum(1).mean()) or math.inf)]
        if self.rows is not None:
            found.append((self.rows, float(sizes.sum(0).mean()) or math.inf))
        return found


def selected(rows: Tensor, indices: Tensor) -> Tensor:
    """The rows that are still there, (n, ...) -> (a, ...)."""
    return rows if len(indices) == len(rows) else rows.index_select(0, indices)


def put_back(rows: Tensor, indices: Tensor, *, size: int) -> Tensor:
    """Rows (a, ...) where they were taken from, (n, ...) in fp32; the others are 0."""
    if len(rows) == size:
        return rows.float()
    whole = rows.new_zeros(size, *rows.shape[1:], dtype=torch.float32)
    return whole.index_copy_(0, indices, rows.float())


def compacted(
    weight: Tensor, left: Tensor | None, right: Tensor, rows: Tensor | None, columns: Tensor
) -> Tensor:
    """(I + left) W (I + right)ᵀ of what is there.

    What is added to W is computed in bf16 where that is fast: it needs no more than the network, whose
    products are in bf16 as well, and the small steps that training takes from W are not lost in it.

    Args:
        weight: W, (n, m).
        left: (n, n); None: 0.
        right: (m, m).
        rows: a of n; None: all.
        columns: b of m.

    Returns:
        (a, b)
    """
    result: Tensor = _Compacted.apply(weight, left, right, rows, columns)  # type: ignore[no-untyped-call]
    return result


class _Compacted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, left: Tensor | None, right: Tensor, rows: Tensor | None, columns: Tensor
    ) -> Tensor:
        dtype = product_dtype(weight)
        values = weight.to(dtype)
        narrow, left_selected = weight, None  # (a, m), (a, n)
        if left is not None and rows is not None:
            left_selected = selected(left, rows).to(dtype)
            narrow = selected(weight, rows) + left_selected @ values
        right_selected = selected(right, columns).to(dtype)  # (b, m)
        narrowed = narrow.to(dtype)
        ctx.save_for_backward(values, left_selected, right_selected, narrowed)
        ctx.indices = rows, columns
        return selected(narrow.T, columns).T + narrowed @ right_selected.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, left, right, narrowed = ctx.saved_tensors
        rows, columns = ctx.indices
        gradient_16 = gradients[0].to(values.dtype)
        of_right = put_back(gradient_16.T @ narrowed, columns, size=len(values.T))  # (m, m)
        of_narrow = (gradient_16 @ right).float()  # (a, m)
        of_narrow.index_add_(1, columns, gradients[0])
        if left is None:
            return of_narrow, None, of_right, None, None
        of_narrow_16 = of_narrow.to(values.dtype)
        of_left = put_back(of_narrow_16 @ values.T, rows, size=len(values))  # (n, n)
        of_weight = None
        if ctx.needs_input_grad[0]:
            of_weight = (left.T @ of_narrow_16).float().index_add_(0, rows, of_narrow)
        return of_weight, of_left, of_right, None, None
