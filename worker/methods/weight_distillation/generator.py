"""The parameter generator of Weight Distillation: W_s = S ⊙ tanh(u) + B, u made of frozen teacher weights.

u = s W_Oᵀ (Σ_l c_l T_l) W_I over a group of adjacent teacher layers, c = W_Y w_L (Lin et al., 2021).

Shapes: T (l, n, m) the group, W_O (n, a) on its rows, W_I (m, b) on its columns, W_Y (l, l), w_L (l,), S and
B (a, b). Vectors, (l, n), have rows alone. Where one side is made of heads, its map may be block-wise,
(h, k, j): h heads, k teacher and j student dimensions each, so that heads never mix.
"""

import torch
from torch import Tensor, nn

from worker.parameterization.maps import map_columns, map_rows, mean_abs_column_sum
from worker.parameterization.parameterizations import MatrixGenerator


class LayerMix(nn.Module):
    """One coefficient for each layer of a group, c = W_Y w_L."""

    def __init__(self, mixer: Tensor, weights: Tensor) -> None:
        """Hold W_Y, (l, l), and w_L, (l,)."""
        super().__init__()
        self.mixer = nn.Parameter(mixer)
        self.weights = nn.Parameter(weights)

    def forward(self, group: Tensor) -> Tensor:
        """(l, ...) -> (...)."""
        mixed: Tensor = torch.tensordot(self.mixer @ self.weights, group, dims=1)
        return mixed


class GeneratedWeight(MatrixGenerator):
    """One weight of the student, from the same weight of a group of teacher layers."""

    def __init__(
        self,
        group: Tensor,
        *,
        mix: LayerMix | None = None,
        rows: nn.Parameter | None = None,
        columns: nn.Parameter | None = None,
        start: Tensor | None = None,
        is_rated: bool = False,
    ) -> None:
        """Begin with S = 1, and with the B that makes W_s the start; without one with B = 0.

        Args:
            group: T, (l, n, m) or (l, n), frozen.
            mix: how its layers are added; None for a group of one.
            rows: W_O; None: as many as the teacher's.
            columns: W_I; None: as many as the teacher's.
            start: W_s at step 0, (a, b) or (a,). The factor s then brings u as near to it as it can.
            is_rated: whether the maps are slowed down so as to move W_s no faster than a dense weight moves.
        """
        super().__init__()
        self.group: Tensor
        self.register_buffer("group", group.detach().clone(), persistent=False)
        self.mix, self.rows, self.columns = mix, rows, columns
        self._is_rated = is_rated
        self.scale = 1.0
        """s, a number: chosen once, not trained."""
        with torch.no_grad():
            inner = self.inner()
            if start is not None:
                self.scale = float((inner * start).sum() / inner.square().sum().clamp(min=1e-12))
            generated = torch.tanh(self.scale * inner)
        self.scaling = nn.Parameter(torch.ones_like(generated))
        self.shift = nn.Parameter(torch.zeros_like(generated) if start is None else start - generated)
        self._is_fixed = mix is None and rows is None and columns is None
        if self._is_fixed:  # tanh of a teacher's weight is always the same
            self.group = generated

    def inner(self) -> Tensor:
        """What ``u`` is but for its factor s."""
        mixed = self.group[0] if self.mix is None else self.mix(self.group)
        if self.rows is not None:
            mixed = _mapped_rows(self.rows, mixed)
        return mixed if self.columns is None else map_columns(mixed, self.columns)

    def forward(self) -> Tensor:
        generated = self.group if self._is_fixed else torch.tanh(self.scale * self.inner())
        return torch.addcmul(self.shift, self.scaling, generated)

    @torch.no_grad()
    def rate_ratios(self) -> list[tuple[nn.Parameter, float]]:
        """Rates at which no map moves an entry of W_s faster than a dense weight moves.

        Under Adam all entries of a map move alike, and an entry of W_s with the absolute sum of what they are
        multiplied with.
        """
        if not self._is_rated:
            return []
        mixed = self.group[0] if self.mix is None else self.mix(self.group)
        ratios = []
        if self.rows is not None:
            factor = mixed if self.columns is None else map_columns(mixed, self.columns)
            ratios.append((self.rows, 1 / self._reach(factor, self.rows)))
        if self.columns is not None:
            factor = mixed if self.rows is None else _mapped_rows(self.rows, mixed)
            ratios.append((self.columns, 1 / self._reach(factor.mT, self.columns)))
        return ratios

    def _reach(self, factor: Tensor, of: Tensor) -> float:
        """How far an entry moves when all of a map move by one; a block sees its share of the column only."""
        return max(1.0, abs(self.scale) * mean_abs_column_sum(factor, of))


def _mapped_rows(rows: Tensor, weight: Tensor) -> Tensor:
    """W_Oᵀ W: (n, a) or (h, k, j), and (n, m) or (n,) -> (a, m) or (a,)."""
    return map_rows(rows.mT, weight) if weight.ndim > 1 else map_rows(rows.mT, weight[:, None])[:, 0]
