"""One squeezed matrix, and the rates at which its parts are learnt."""

import pytest
import torch
from torch import nn

from worker.methods.weight_squeezing.reparameterization import (
    Gate,
    GatedMatrix,
    SqueezedMatrix,
    multiply_adds,
)


def block_diagonal(blocks):
    return torch.block_diag(*blocks)


class TestSqueezedMatrix:
    def test_dense_maps(self):
        weight, rows, columns = torch.randn(6, 8), torch.randn(4, 6), torch.randn(8, 3)
        squeezed = SqueezedMatrix(weight, nn.Parameter(rows), nn.Parameter(columns))
        assert torch.allclose(squeezed(), rows @ weight @ columns, atol=1e-5)

    def test_head_blocks_on_rows(self):
        weight, blocks, columns = torch.randn(2 * 5, 8), torch.randn(2, 3, 5), torch.randn(8, 4)
        squeezed = SqueezedMatrix(weight, nn.Parameter(blocks), nn.Parameter(columns))
        assert torch.allclose(squeezed(), block_diagonal(blocks) @ weight @ columns, atol=1e-5)

    def test_head_blocks_on_columns(self):
        weight, rows, blocks = torch.randn(8, 2 * 5), torch.randn(4, 8), torch.randn(2, 5, 3)
        squeezed = SqueezedMatrix(weight, nn.Parameter(rows), nn.Parameter(blocks))
        assert torch.allclose(squeezed(), rows @ weight @ block_diagonal(blocks), atol=1e-5)

    @pytest.mark.parametrize(("n", "m", "a", "b"), [(8, 4, 2, 3), (4, 8, 3, 2), (16, 4, 8, 2), (4, 16, 2, 8)])
    def test_multiply_adds_are_those_of_the_cheaper_order(self, n, m, a, b):
        counted = multiply_adds(torch.empty(n, m), torch.empty(a, n), torch.empty(m, b))
        assert counted == min(a * n * m + a * m * b, n * m * b + a * n * b)

    def test_gate_mixes(self):
        squeezed = SqueezedMatrix(
            torch.randn(4, 4), nn.Parameter(torch.randn(2, 4)), nn.Parameter(torch.randn(4, 3))
        )
        pretrained, logit = torch.randn(2, 3), torch.randn(2, 1)
        gated = GatedMatrix(pretrained, squeezed, Gate(nn.Parameter(logit)))
        g = 1 / (1 + torch.exp(-logit))
        assert torch.allclose(gated(), (1 - g) * pretrained + g * squeezed(), atol=1e-6)


class TestRates:
    """One step of Adam moves every entry of a map by its rate; what does that do to the folded weight?"""

    @pytest.mark.parametrize("kind", ["dense", "rows by head", "columns by head"])
    def test_no_map_moves_the_folded_weight_faster_than_asked(self, kind):
        rows = torch.randn(2, 3, 5) if kind == "rows by head" else torch.randn(6, 10)
        columns = torch.randn(2, 4, 3) if kind == "columns by head" else torch.randn(8, 6)
        squeezed = SqueezedMatrix(torch.randn(10, 8), nn.Parameter(rows), nn.Parameter(columns), rate=0.01)
        before = squeezed().detach().clone()
        for parameter, ratio in squeezed.rate_ratios():
            with torch.no_grad():
                start = parameter.clone()
                # The signs that move one entry the most: those of what it is multiplied with.
                with torch.enable_grad():
                    (gradient,) = torch.autograd.grad(squeezed()[0, 0], parameter)
                parameter.add_(ratio * gradient.sign())
                moved = (squeezed() - before)[0, 0].abs()
                parameter.copy_(start)
            assert 0.002 < moved < 0.03
