"""Fused layers, apart while methods work on them: one layer for each role in the place of one for several.

Files, and graphs that are exported, have them fused, as their family does.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from app.domain.architectures.layers import LayerStack


class ParallelLayers(nn.ModuleDict):
    """Layers that read the same and write side by side, by role."""

    def forward(self, states: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs of all)."""
        return torch.cat([layer(states) for layer in self.values()], dim=-1)

    @property
    def is_whole(self) -> bool:
        """Whether none of them is factorised, so that one layer can stand for all."""
        return all(isinstance(layer, nn.Linear) for layer in self.values())

    def joined(self) -> nn.Linear:
        """One layer that holds the rows of all."""
        layers = [layer for layer in self.values() if isinstance(layer, nn.Linear)]
        weight = torch.cat([layer.weight.detach() for layer in layers])
        biases = [bias.detach() for bias in map(_bias, layers) if bias is not None]
        return _linear(weight, torch.cat(biases) if biases else None)


def part_fused(network: nn.Module, stack: LayerStack) -> None:
    """Put a layer for each role in the place of each fused one, in place; parted ones stay."""
    for layer in network.get_submodule(stack.layers).children():
        for name, roles in stack.layer.fused.items():
            fused = layer.get_submodule(name)
            if isinstance(fused, nn.Linear):
                layer.set_submodule(name, _parted(fused, roles))


def _parted(fused: nn.Linear, roles: tuple[str, ...]) -> ParallelLayers:
    """All of them write equally much."""
    rows, bias = fused.out_features // len(roles), _bias(fused)
    parted = ParallelLayers()
    for index, role in enumerate(roles):
        own = slice(index * rows, (index + 1) * rows)
        own_bias = None if bias is None else bias.detach()[own].clone()
        parted[role] = _linear(fused.weight.detach()[own].clone(), own_bias)
    return parted


def _bias(layer: nn.Linear) -> Tensor | None:
    return layer.bias


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    outputs, inputs = weight.shape
    layer = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


@contextmanager
def joined(network: nn.Module) -> Iterator[None]:
    """Fused layers again as their family has them, for as long as this is open."""
    parted = _whole_ones(network)
    for name, layers in parted.items():
        network.set_submodule(name, layers.joined())
    try:
        yield
    finally:
        for name, layers in parted.items():
            network.set_submodule(name, layers)


def joined_state(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's state under the names of files: of fused layers one matrix."""
    found = dict(state)
    for name, layers in _whole_ones(network).items():
        for kind in ("weight", "bias"):
            own = [f"{name}.{role}.{kind}" for role in layers]
            if own[0] in found:
                found[f"{name}.{kind}"] = torch.cat([found.pop(part) for part in own])
    return found


def parted_state(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ``joined_state`` makes, under the names that the network has."""
    found = dict(state)
    for name, layers in _whole_ones(network).items():
        for kind in ("weight", "bias"):
            fused = found.pop(f"{name}.{kind}", None)
            if fused is not None:
                rows = fused.chunk(len(layers))
                found |= {f"{name}.{role}.{kind}": own for role, own in zip(layers, rows, strict=True)}
    return found


def _whole_ones(network: nn.Module) -> dict[str, ParallelLayers]:
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, ParallelLayers) and module.is_whole
    }
