"""A matrix as a product of two, plain and weighed by Fisher information (Hsu et al., 2022).

Shapes: N outputs, M inputs, R rank.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from worker.data.batches import Batch
from worker.distillation.objectives import Objective

_EPSILON = 1e-6
"""Of the mean importance: a row that nothing depends on is still divided by something."""


def factorise(weight: Tensor, rank: int, *, importance: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The A and B of least sum over rows of importance times squared error of A B.

    The singular values go to both factors alike, so that both train at one pace.

    Args:
        weight: (N, M).
        rank: at most min(N, M), where the product is the weight.
        importance: of each row, (N,), not negative; None: all alike.

    Returns:
        A (N, R) and B (R, M).
    """
    scale = weight.new_ones(len(weight)).double()
    if importance is not None and importance.any():
        relative = importance.double() / importance.double().mean()
        scale = (relative + _EPSILON).sqrt()
    left, values, right = torch.linalg.svd(scale[:, None] * weight.double(), full_matrices=False)
    root = values[:rank].sqrt()
    a = left[:, :rank] * root / scale[:, None]  # D^-1 U S^(1/2)
    b = root[:, None] * right[:rank]  # S^(1/2) V^T
    return a.to(weight.dtype), b.to(weight.dtype)


def row_fisher(
    network: nn.Module,
    matrices: Mapping[str, nn.Linear],
    objective: Objective,
    batches: Iterable[Batch],
) -> dict[str, Tensor]:
    """The empirical Fisher information of each row of some matrices: mean squared gradient, summed over it.

    Args:
        network: in eval mode; its gradients are cleared.
        matrices: modules of it, by name.
        objective: whose gradient counts.
        batches: each gives one gradient; small ones are nearer to one a text, as it is defined.

    Returns:
        (N,) by name.
    """
    network.zero_grad(set_to_none=True)
    total = {name: torch.zeros_like(module.weight[:, 0]) for name, module in matrices.items()}
    count = 0
    for batch in batches:
        objective(network, batch).backward()  # type: ignore[no-untyped-call]
        for name, module in matrices.items():
            assert module.weight.grad is not None
            total[name] += module.weight.grad.square().sum(1)
        network.zero_grad(set_to_none=True)
        count += 1
    return {name: value / count for name, value in total.items()}
