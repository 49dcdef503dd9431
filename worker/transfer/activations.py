"""What a network's parts say on real text: the statistics by which they are ranked and reduced."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

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


@torch.no_grad()
def capture_activations(
    network: nn.Module,
    batches: Iterable[Inputs],
    *,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    keep: Callable[[Tensor], Tensor] = whole,
) -> dict[str, Tensor]:
    """Run a network in fp32 eval mode and keep what goes into and comes out of some of its modules.

    Args:
        network: runs on the batches, as far as the last of these modules, each of which it uses once.
        batches: padded inputs.
        before: modules whose first argument is kept.
        after: modules whose output is kept.
        keep: applied to each batch's values, one row a token that is there, before they are put together.

    Returns:
        ``"> name"`` for inputs and ``"name >"`` for outputs, each (K, width).
    """
    kept: dict[str, list[Tensor]] = {}
    awaited: set[str] = set()
    inputs: Inputs = {}

    def store(key: str, name: str, values: Tensor) -> None:
        decodes = ".decoder." in name and "decoder_attention_mask" in inputs
        mask = inputs["decoder_attention_mask" if decodes else "attention_mask"].bool()
        # A head sees one state a text, every other part one a token.
        there = values[mask] if values.ndim == mask.ndim + 1 else values
        kept.setdefault(key, []).append(keep(there))
        awaited.discard(key)
        if not awaited:
            raise _AllKept

    def hook_before(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _module, args: store(f"> {name}", name, args[0])

    def hook_after(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda _module, _args, output: store(f"{name} >", name, output)

    hooks = [network.get_submodule(name).register_forward_pre_hook(hook_before(name)) for name in before]
    hooks += [network.get_submodule(name).register_forward_hook(hook_after(name)) for name in after]
    was_training = network.training
    network.eval()
    try:
        for inputs in batches:
            awaited |= {*(f"> {name}" for name in before), *(f"{name} >" for name in after)}
            with suppress(_AllKept):
                network(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    return {key: torch.cat(values) for key, values in kept.items()}
