"""The compactors of WID: W' = R W L and c' = R c, with R and L square and at first the identity.

Shapes: W (n, m), c (n,), R (n, n), L (m, m); of n and m there are still a and b, so that W' is (a, b).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from worker.training.precision import product_dtype


@dataclass(frozen=True)
class Presence:
    """Which indices of one side of a matrix are still there, and how much of each."""

    indices: Tensor
    """(a,), sorted."""
    levels: Tensor
    """(a,): 1 of one that stays, below 1 of one that is being given up."""

    def take(self, rows: Tensor) -> Tensor:
        """The rows that are still there, (n, ...) -> (a, ...), whole."""
        return rows if len(self.indices) == len(rows) else rows.index_select(0, self.indices)

    def put_back(self, rows: Tensor, *, like: int) -> Tensor:
        """Rows (a, ...) where they were taken from, (n, ...) in fp32; the others are 0."""
        if len(rows) == like:
            return rows.float()
        whole = rows.new_zeros(like, *rows.shape[1:], dtype=torch.float32)
        return whole.index_copy_(0, self.indices, rows.float())

    def fade(self, values: Tensor) -> Tensor:
        """Values (a, ...), each by how much of it is there; what is being given up does not learn."""
        levels = self.levels.view(-1, *[1] * (values.ndim - 1))
        return torch.where(levels == 1, values, (levels * values).detach())


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
        self.bias = nn.Parameter(layer.bias.detach().clone())
        self.rows = nn.Parameter(torch.zeros(outputs, outputs, device=device)) if has_rows else None
        """R - I."""
        self.columns = nn.Parameter(torch.zeros(inputs, inputs, device=device))
        """(L - I)ᵀ."""

    def forward(self, rows: Presence | None, columns: Presence) -> tuple[Tensor, Tensor]:
        """W' (a, b) and c' (a,), of what is there; ``rows`` where there is an R."""
        outputs, inputs = self.weight.shape
        if self.rows is None or rows is None:
            return compacted(self.weight, None, self.columns, None, columns), self.bias
        bias = rows.fade(rows.take(self.bias) + rows.take(self.rows) @ self.bias)
        a, b = len(rows.indices), len(columns.indices)
        if a * outputs * inputs + a * inputs * b <= outputs * inputs * b + a * outputs * b:
            return compacted(self.weight, self.rows, self.columns, rows, columns), bias
        return compacted(self.weight.T, self.columns, self.rows, columns, rows).T, bias

    def reaches(self) -> list[tuple[nn.Parameter, float]]:
        """Each compactor, and how far an entry of W' moves when all entries of that compactor move by one.

        That is what rates are divided by: an entry of R W L moves with a whole row of R, by the absolute sum
        of a column of W L. Of compactors at the identity.
        """
        sizes = self.weight.detach().abs()
        found = [(self.columns, float(sizes.sum(1).mean()))]
        if self.rows is not None:
            found.append((self.rows, float(sizes.sum(0).mean())))
        return found


def compacted(
    weight: Tensor, left: Tensor | None, right: Tensor, rows: Presence | None, columns: Presence
) -> Tensor:
    """(I + left) W (I + right)ᵀ of what is there, each index by how much of it is.

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
        ctx: Any,
        weight: Tensor,
        left: Tensor | None,
        right: Tensor,
        rows: Presence | None,
        columns: Presence,
    ) -> Tensor:
        dtype = product_dtype(weight)
        values = weight.to(dtype)
        narrow, left_taken = weight, None  # (a, m), (a, n)
        if left is not None and rows is not None:
            left_taken = rows.take(left).to(dtype)
            narrow = rows.take(weight) + left_taken @ values
        right_taken = columns.take(right).to(dtype)  # (b, m)
        narrowed = narrow.to(dtype)
        ctx.save_for_backward(values, left_taken, right_taken, narrowed)
        ctx.presences = rows, columns
        result = columns.take(narrow.T).T + narrowed @ right_taken.T
        result = result if rows is None else result * rows.levels.unsqueeze(1)
        return result * columns.levels

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, left, right, narrowed = ctx.saved_tensors
        rows, columns = ctx.presences
        gradient = gradients[0] * (columns.levels == 1)  # what is being given up does not learn
        if rows is not None:
            gradient = gradient * (rows.levels == 1).unsqueeze(1)
        gradient_16 = gradient.to(values.dtype)
        of_right = columns.put_back(gradient_16.T @ narrowed, like=len(values.T))  # (m, m)
        of_narrow = (gradient_16 @ right).float()  # (a, m)
        of_narrow.index_add_(1, columns.indices, gradient)
        if left is None:
            return of_narrow, None, of_right, None, None
        of_narrow_16 = of_narrow.to(values.dtype)
        of_left = rows.put_back(of_narrow_16 @ values.T, like=len(values))  # (n, n)
        of_weight = None
        if ctx.needs_input_grad[0]:
            of_weight = (left.T @ of_narrow_16).float().index_add_(0, rows.indices, of_narrow)
        return of_weight, of_left, of_right, None, None


class FadingNorm(nn.Module):
    """A layer norm whose mean and variance weigh each dimension by how much of it is there.

    With levels of 1 and 0 it is the layer norm of the dimensions at 1.
    """

    def __init__(self, like: nn.LayerNorm, levels: Tensor) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = like.weight, like.bias, like.eps
        self.levels: Tensor
        self.register_buffer("levels", levels, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        with torch.autocast(
            values.device.type, enabled=False
        ):  # as a layer norm does: products would be bf16
            values = values.float()
            share = self.levels / self.levels.sum()
            centred = values - (values @ share).unsqueeze(-1)
            scale = (centred.square() @ share + self.eps).rsqrt().unsqueeze(-1)
            return centred * scale * self.weight + self.bias
