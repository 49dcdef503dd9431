"""What stays, fitted to make up for what goes.

When indices are pruned, the modules that read them read their best prediction from the remaining ones: least
squares on a little text, as in channel pruning (He et al., 2017). A layer norm over fewer dimensions has
another mean and variance, so that its gains and shifts are fitted first. The prediction goes into compactors
of columns and into biases: it is a start, from which all of them train on.

Shapes: K tokens, of which one set of indices has p before and k after.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from worker.methods.weight_inherited.compactors import CompactedLinear
from worker.methods.weight_inherited.wiring import GroupKey, Wiring
from worker.networks.parts import Part
from worker.numerics.least_squares import fit_norm, ridge_regression
from worker.transfer.activations import Inputs, capture_activations

_STREAM_RIDGE = 1e-4
_RIDGE = 3e-2
"""Of what is about to go little is known from the rest: on text that was not fitted to, MiniLM's neurons are
told best with 1e-2 to 1e-1."""


@torch.no_grad()
def reconstruct(
    network: nn.Module,
    wiring: Wiring,
    linears: Mapping[str, CompactedLinear],
    vectors: Mapping[str, Tensor],
    batches: Sequence[Inputs],
    *,
    before: Mapping[GroupKey, Tensor],
    kept: Mapping[GroupKey, Tensor],
    on_fit: Callable[[Part], None] = lambda _part: None,
) -> None:
    """Fit compactors, biases and norms to indices that become fewer.

    Args:
        network: as it is with the indices before.
        wiring: of the teacher.
        linears: its layers with their compactors; set in place.
        vectors: gains and shifts of norms; set in place.
        batches: text to fit on.
        before: of each group, (p,), in order.
        kept: of each group, (k,), in order.
        on_fit: called before each part is fitted; may raise to stop.
    """
    fewer = [key for key, indices in before.items() if len(kept[key]) < len(indices)]
    if not fewer:
        return
    norms = {norm: key for norm, key in wiring.norm_groups.items() if key in fewer}
    readers = {key: wiring.reader_of(key) for key in fewer if key not in norms.values()}
    values = capture_activations(network, batches, before=[*norms, *readers.values()], after=[*norms])
    stay = {key: torch.searchsorted(before[key], kept[key]) for key in fewer}
    for norm, key in norms.items():
        on_fit(norm)
        inputs = values.input_of(norm)[:, stay[key]]  # (K, k)
        outputs = values.output_of(norm)  # (K, p)
        fitted = fit_norm(inputs, outputs[:, stay[key]], eps=norm.eps, shifts=norm.bias is not None)
        for name, vector in zip(norm.vector_names, fitted, strict=False):
            vectors[name][kept[key]] = vector
        stream = nn.functional.layer_norm(inputs, inputs.shape[1:], *fitted, norm.eps)
        layers = [linears[reader.name] for reader in wiring.readers_after(norm)]
        shifts = all(layer.bias is not None for layer in layers)
        read = ridge_regression(stream, outputs, ridge=_STREAM_RIDGE, shifts=shifts)
        for layer in layers:
            layer.read_instead(before[key], kept[key], *read)
    for key, reader in readers.items():
        on_fit(reader)
        layer = linears[reader.name]
        read = _predicting(values.input_of(reader), stay[key], shifts=layer.bias is not None)
        layer.read_instead(before[key], kept[key], *read)


def _predicting(values: Tensor, stay: Tensor, *, shifts: bool) -> tuple[Tensor, Tensor]:
    """The matrix (p, k) and the offset (p,) that predict values, (K, p), from those of them that stay."""
    goes = torch.ones(values.shape[1], dtype=torch.bool, device=values.device)
    goes[stay] = False
    matrix, offset = values.new_zeros(len(goes), len(stay)), values.new_zeros(len(goes))
    matrix[stay, torch.arange(len(stay), device=values.device)] = 1
    matrix[goes], offset[goes] = ridge_regression(
        values[:, stay], values[:, goes], ridge=_RIDGE, shifts=shifts
    )
    return matrix, offset
