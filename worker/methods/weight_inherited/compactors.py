"""The compactors of WID: W' = R W L and c' = R c, with R and L square and at first the identity.

Shapes: W (n, m), c (n,), R (n, n), L (m, m); of n and m there are still a and b, so that W' is (a, b).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.training.precision import product


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
        self.rows = nn.Parameter(torch.eye(outputs, device=device)) if has_rows else None
        self.columns = nn.Parameter(torch.eye(inputs, device=device))

    def forward(self, rows: Presence | None, columns: Presence) -> tuple[Tensor, Tensor]:
        """W' (a, b) and c' (a,), of what is there; ``rows`` where there is an R."""
        right = columns.take(self.columns.T).T  # (m, b)
        if self.rows is None or rows is None:
            return columns.fade(product(self.weight, right).T).T, self.bias
        left = rows.take(self.rows)  # (a, n)
        (a, n), (m, b) = left.shape, right.shape
        if a * n * m + a * m * b <= n * m * b + a * n * b:
            weight = product(product(left, self.weight), right)
        else:
            weight = product(left, product(self.weight, right))
        return columns.fade(rows.fade(weight).T).T, rows.fade(left @ self.bias)

    @torch.no_grad()
    def reaches(self) -> list[tuple[nn.Parameter, float]]:
        """Each compactor, and how far an entry of W' moves when all entries of that compactor move by one.

        That is what rates are divided by: an entry of R W L moves with a whole row of R, by the absolute sum
        of a column of W L.
        """
        left = self.weight if self.rows is None else self.rows @ self.weight
        found = [(self.columns, float(left.abs().sum(1).mean()))]
        if self.rows is not None:
            found.append((self.rows, float((self.weight @ self.columns).abs().sum(0).mean())))
        return found


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
