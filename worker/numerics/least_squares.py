"""Closed-form fits between activations.

Shapes: K observations, P inputs, Q outputs.
"""

import torch
from torch import Tensor


def principal_directions(values: Tensor, count: int) -> Tensor:
    """The directions of most variance of (K, P) values: (P, count), orthonormal columns, strongest last."""
    centred = (values - values.mean(0)).double()
    return strongest_directions(centred.T @ centred, count).to(values.dtype)


def strongest_directions(moment: Tensor, count: int) -> Tensor:
    """Those of a second moment (P, P): (P, count), orthonormal columns, strongest last."""
    _, directions = torch.linalg.eigh(moment)
    return torch.as_tensor(directions[:, -count:])


def singular_directions(table: Tensor, count: int) -> Tensor:
    """The first right singular vectors of (K, P): (P, count), strongest first.

    By the small Gram matrix: K may be a vocabulary.
    """
    _, directions = torch.linalg.eigh(table.double().T @ table.double())
    return torch.as_tensor(directions.flip(1)[:, :count], dtype=table.dtype)


def nearest_rotation(values: Tensor, wanted: Tensor) -> Tensor:
    """The orthogonal (P, P) that brings (K, P) values nearest to others (Schönemann, 1966)."""
    left, _, right = torch.linalg.svd(values.double().T @ wanted.double())
    return torch.as_tensor(left @ right, dtype=values.dtype)


def ridge_regression(
    inputs: Tensor, outputs: Tensor, *, ridge: float, shifts: bool = True
) -> tuple[Tensor, Tensor]:
    """The affine map from (K, P) to (K, Q) of least squared error.

    Args:
        inputs: (K, P).
        outputs: (K, Q).
        ridge: penalty on the map, as a share of the inputs' mean variance; keeps a thin sample harmless.
        shifts: whether there may be an offset; else it is 0.

    Returns:
        The matrix (Q, P) and the offset (Q,).
    """
    mean_in, mean_out = _means(inputs, shifts=shifts), _means(outputs, shifts=shifts)
    x, y = (inputs - mean_in).double(), (outputs - mean_out).double()
    gram = x.T @ x  # (P, P)
    penalty = ridge * gram.diagonal().mean() + torch.finfo(gram.dtype).tiny  # inputs may all be the same
    penalties = penalty * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    matrix = torch.linalg.solve(gram + penalties, x.T @ y).T
    matrix = matrix.to(inputs.dtype)
    return matrix, mean_out - matrix @ mean_in


def fit_norm(inputs: Tensor, outputs: Tensor, *, eps: float, shifts: bool = True) -> tuple[Tensor, Tensor]:
    """Gain and shift, (P,) each, with which a layer norm of (K, P) inputs comes closest to (K, P) outputs.

    Of one observation the gain is 0 if there may be a shift; else the shift is 0.
    """
    spread = (inputs.var(1, unbiased=False, keepdim=True) + eps).sqrt()
    normed = (inputs - inputs.mean(1, keepdim=True)) / spread
    mean_in, mean_out = _means(normed, shifts=shifts), _means(outputs, shifts=shifts)
    covariance = ((normed - mean_in) * (outputs - mean_out)).sum(0)
    gain = covariance / (normed - mean_in).square().sum(0).clamp_min(torch.finfo(inputs.dtype).tiny)
    return gain, mean_out - gain * mean_in


def _means(values: Tensor, *, shifts: bool) -> Tensor:
    """What an offset can make up for."""
    return values.mean(0) if shifts else torch.zeros_like(values[0])
