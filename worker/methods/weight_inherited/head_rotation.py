"""Attention heads turned to directions of which few hold what a head computes.

A head's scores and its sum of values are products of two matrices each, and stay what they are when an
invertible map goes into one and its inverse into the other. The map is chosen so that both sides have the
same diagonal second moments, as in balanced truncation (Moore, 1981): the dimensions at its end weigh least
in what the head computes. What all keys have in common, which softmax does not see, is taken out of them;
what all values have in common goes to the bias that they are added to. The network computes what it did.

Shapes: K tokens, d the width of a head, D the teacher's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worker.methods.weight_inherited.compactors import CompactedLinear
from worker.methods.weight_inherited.inheriting import InheritedWeights
from worker.transfer.activations import Inputs, capture_activations

_RIDGE = 1e-6


@torch.no_grad()
def turn_heads(
    weights: InheritedWeights, teacher: nn.Module, batches: Sequence[Inputs], *, layer: int
) -> None:
    """Turn the heads of one inherited layer; what all layers say at once would take too much memory.

    Args:
        weights: their compactors at the identity; set in place.
        teacher: whose queries, keys and values they are.
        batches: text on which moments are taken.
        layer: of the teacher.
    """
    view = weights.wiring.view.layers[layer].attention
    parts = (view.query, view.key, view.value, view.output)
    query, key, value, output = (weights.linears[part.name] for part in parts)
    found = capture_activations(teacher, batches, before=[view.output], after=[view.query, view.key])
    queries, keys = found.output_of(view.query), found.output_of(view.key)  # (K, D)
    mixed = found.input_of(view.output)  # (K, D)
    if weights.wiring.view.distances is None:  # those meet keys alone, whose mean they would miss
        key.shift(-keys.mean(0))
    if value.bias is not None and output.bias is not None:  # a head's weights add up to one
        value.shift(-mixed.mean(0))
        output.shift(output.weight @ mixed.mean(0))
    for head in range(view.heads):
        rows = view.rows(head)
        q, k, z = queries[:, rows], keys[:, rows], mixed[:, rows]
        turn, inverse = balancing_maps(_second_moment(q), _second_moment(k - k.mean(0)))
        _turn(query, rows, turn)
        _turn(key, rows, inverse.T)
        written = output.weight[:, rows].double()
        turn, inverse = balancing_maps(_second_moment(z - z.mean(0)), written.T @ written)
        _turn(value, rows, turn)
        output.weight[:, rows] = output.weight[:, rows] @ inverse


def _turn(layer: CompactedLinear, rows: slice, by: Tensor) -> None:
    layer.weight[rows] = by @ layer.weight[rows]
    if layer.bias is not None:
        layer.bias[rows] = by @ layer.bias[rows]


def balancing_maps(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """T and its inverse, (d, d) each in fp32, with T F Tᵀ = T⁻ᵀ S T⁻¹ diagonal and falling.

    Args:
        first: F, (d, d), a second moment.
        second: S, likewise, of what is multiplied with the former. Of nothing, T is the identity.
    """
    if not (first.any() and second.any()):  # a head without a say may be turned any way
        identity = torch.eye(len(first), device=first.device)
        return identity, identity
    left, right = (torch.linalg.cholesky(_regular(moment)) for moment in (first, second))
    u, sizes, vh = torch.linalg.svd(right.T @ left)
    scale = sizes.rsqrt()
    turn = scale.unsqueeze(1) * (u.T @ right.T)
    inverse = (left @ vh.T) * scale
    return turn.float(), inverse.float()


def _second_moment(values: Tensor) -> Tensor:
    """(K, d) -> (d, d) in fp64."""
    return values.double().T @ values.double() / len(values)


def _regular(moment: Tensor) -> Tensor:
    """A moment that can be inverted, if only just."""
    ridge = _RIDGE * moment.diagonal().mean() + torch.finfo(moment.dtype).tiny
    return moment + ridge * torch.eye(len(moment), dtype=moment.dtype, device=moment.device)
