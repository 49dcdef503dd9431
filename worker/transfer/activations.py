"""What goes into and comes out of a network's parts on real text: by it they are ranked and reduced."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from worker.networks.parts import Part

Inputs = Mapping[str, Tensor]
"""Keyword arguments of a network: input_ids and attention_mask, (B, T) each, and what else it takes.

Of a network that writes: decoder_attention_mask (B, S) as well.
"""


class _AllKept(Exception):  # noqa: N818 - nothing went wrong
    """Nothing that a network does from here on is kept."""


def whole(values: Tensor) -> Tensor:
    return values


def mean_abs_activation(values: Tensor) -> Tensor:
    """Mean absolute value of each column: (K, D) -> (1, D)."""
    return values.abs().mean(0, keepdim=True)


class Side(Enum):
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True)
class _Place:
    """One side of a part, in any network of its layout."""

    name: str
    run: int
    side: Side

    @classmethod
    def of(cls, part: Part, side: Side) -> "_Place":
        return cls(part.name, part.run, side)


class Activations:
    """What went into and came out of parts of a network, (K, width) each."""

    def __init__(self, values: Mapping[_Place, Tensor]) -> None:
        self._values = values

    def input_of(self, part: Part) -> Tensor:
        """(K, width), of a part or of the one in its place in another network.

        Raises:
            KeyError: it was not captured.
        """
        return self._values[_Place.of(part, Side.INPUT)]

    def output_of(self, part: Part) -> Tensor:
        """Likewise."""
        return self._values[_Place.of(part, Side.OUTPUT)]


@torch.no_grad()
def capture_activations(
    network: nn.Module,
    batches: Iterable[Inputs],
    *,
    before: Sequence[Part] = (),
    after: Sequence[Part] = (),
    keep: Callable[[Tensor], Tensor] = whole,
) -> Activations:
    """Run a network in fp32 eval mode and keep what goes into and comes out of some of its parts.

    Args:
        network: runs on the batches, as far as the last of these parts.
        batches: padded inputs.
        before: parts whose first argument is kept, of this network or of one with the same names.
        after: parts whose output is kept, likewise.
        keep: applied to each batch's values, one row a token that is there, before they are put together.
    """
    wanted = {_Place.of(part, Side.INPUT): part for part in before}
    wanted |= {_Place.of(part, Side.OUTPUT): part for part in after}
    kept: dict[_Place, list[Tensor]] = {place: [] for place in wanted}
    awaited: set[_Place] = set()
    runs: Counter[_Place] = Counter()
    inputs: Inputs = {}

    def store(place: _Place, values: Tensor) -> None:
        runs[place] += 1
        if runs[place] != place.run + 1:
            return
        writes = wanted[place].sees_targets and "decoder_attention_mask" in inputs
        mask = inputs["decoder_attention_mask" if writes else "attention_mask"].bool()
        # A head sees one state a text, every other part one a token.
        there = values[mask] if values.ndim == mask.ndim + 1 else values
        kept[place].append(keep(there))
        awaited.discard(place)
        if not awaited:
            raise _AllKept

    def hook_before(place: _Place) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _module, args: store(place, args[0])

    def hook_after(place: _Place) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda _module, _args, output: store(place, output)

    hooks = []
    for place in wanted:
        module = network.get_submodule(place.name)
        if place.side is Side.INPUT:
            hooks.append(module.register_forward_pre_hook(hook_before(place)))
        else:
            hooks.append(module.register_forward_hook(hook_after(place)))
    was_training = network.training
    network.eval()
    try:
        for inputs in batches:
            awaited |= set(wanted)
            runs.clear()
            with suppress(_AllKept):
                network(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    return Activations({place: torch.cat(values) for place, values in kept.items()})
