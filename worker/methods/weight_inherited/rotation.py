"""The teacher turned to the principal directions of its residual stream, to be narrowed in its place.

The teacher's stream is turned so that as few dimensions as can be hold its variance; those that say least are
the ones to give up. What reads the stream turns it back: the regression of what the teacher reads there on
what lies there now. That is exact but for the sum before a layer norm, whose gains are of the old dimensions,
so that the network at step 0 is nearly the teacher. The idea is that of SliceGPT (Ashkboos et al., 2024).

Shapes: K tokens, D the teacher's width.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from worker.methods.weight_inherited.inheriting import InheritedWeights
from worker.methods.weight_inherited.wiring import RESIDUAL
from worker.networks.parts import Norm
from worker.numerics.least_squares import fit_norm, ridge_regression, strongest_directions
from worker.transfer.activations import Inputs, capture_activations

_RIDGE = 1e-4


@torch.no_grad()
def rotate(
    weights: InheritedWeights,
    teacher: nn.Module,
    batches: Sequence[Inputs],
    *,
    on_norm: Callable[[Norm], None] = lambda _norm: None,
) -> None:
    """Turn what is inherited to the principal directions of a teacher's stream.

    Args:
        weights: at the identity; set in place.
        teacher: whose stream it is.
        batches: text on which directions, norms and readers are fitted.
        on_norm: called before each norm is fitted; may raise to stop.
    """
    norms, parts = weights.wiring.norms_on(RESIDUAL), weights.wiring.stream_parts
    targets = capture_activations(teacher, batches, after=[*norms, *parts])
    turn = _directions([targets.output_of(part) for part in parts])  # (D, D)
    weights.words.copy_(turn.T)
    for matrix, ends in weights.wiring.matrices.items():
        if ends.rows == RESIDUAL:
            writer = weights.linears[matrix.name]
            writer.weight.copy_(turn @ writer.weight)
            if writer.bias is not None:
                writer.bias.copy_(turn @ writer.bias)
    for norm in norms:
        on_norm(norm)
        _fit(weights, norm, targets.output_of(norm), turn, batches)


def _directions(streams: Sequence[Tensor]) -> Tensor:
    """An orthogonal matrix whose rows are nearly the principal directions of all streams, weighing alike.

    A layer norm takes away the mean over dimensions, which the turned stream must therefore have in common
    with the teacher's: a reflection moves the direction of the mean, which has no variance and is a principal
    one, back to where it was, and every other one a little.
    """
    width = streams[0].shape[1]
    moment = streams[0].new_zeros(width, width, dtype=torch.float64)
    for stream in streams:  # one after the other: all at once would take several times what they take
        values = stream - stream.mean(1, keepdim=True)
        values = values - values.mean(0)
        values = (values / values.square().sum(1).mean().sqrt()).double()
        moment += values.T @ values
    directions = strongest_directions(moment, width).T.to(streams[0].dtype)  # (D, D), one a row
    mean = torch.full((width,), width**-0.5, device=directions.device)
    mirror = directions @ mean - mean
    return directions - 2 / mirror.square().sum() * torch.outer(mirror, mirror @ directions)


def _fit(
    weights: InheritedWeights, norm: Norm, target: Tensor, turn: Tensor, batches: Sequence[Inputs]
) -> None:
    """Fit a norm to the turned stream, (K, D), and what reads it to the teacher's."""
    weights.fold()
    inputs = capture_activations(weights.network, batches, before=[norm]).input_of(norm)
    fitted = fit_norm(inputs, target @ turn.T, eps=norm.eps, shifts=norm.bias is not None)
    for name, vector in zip(norm.vector_names, fitted, strict=False):
        weights.vectors[name].copy_(vector)
    stream = nn.functional.layer_norm(inputs, target.shape[1:], *fitted, norm.eps)
    readers = [weights.linears[reader.name] for reader in weights.wiring.readers_after(norm)]
    shifts = all(layer.bias is not None for layer in readers)
    read, offset = ridge_regression(stream, target, ridge=_RIDGE, shifts=shifts)
    for layer in readers:
        layer.shift(layer.weight @ offset)
        layer.weight.copy_(layer.weight @ read)
