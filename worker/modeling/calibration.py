"""What a network's parts say on real text: the statistics by which they are ranked and reduced.

Shapes: K tokens, D width of the residual stream, F neurons of a feed-forward layer, n heads, k head width.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from app.core.shapes import EncoderCard
from worker.modeling.anatomy import ANATOMIES

Inputs = Mapping[str, Tensor]
"""Keyword arguments of a network: input_ids and attention_mask, (B, T) each, and what else it takes."""


@dataclass(frozen=True)
class Activations:
    """Values of every token that is there, layer by layer.

    ``stream`` holds the residual stream, (K, D), before the first layer and after each; ``context`` the
    heads' outputs before they are mixed, (K, n k); ``inner`` the feed-forward activations, (K, F).
    """

    stream: list[Tensor]
    context: list[Tensor]
    inner: list[Tensor]


@torch.no_grad()
def record(network: nn.Module, card: EncoderCard, batches: Iterable[Inputs]) -> Activations:
    """Run a network over a few batches in fp32 and keep what its layers pass on."""
    anatomy = ANATOMIES[card.architecture]
    layers = range(card.shape.layers)
    kept = Activations(stream=[], context=[], inner=[])
    batch_values: list[Activations] = []
    current: dict[str, list[Tensor]] = {}

    def keep(kind: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_module: nn.Module, args: tuple[Any, ...]) -> None:
            current[kind].append(args[0])

        return hook

    hooks = []
    for layer in layers:
        hooks.append(
            anatomy.linear(network, layer, "attention_output").register_forward_pre_hook(keep("context"))
        )
        hooks.append(anatomy.linear(network, layer, "ffn_out").register_forward_pre_hook(keep("inner")))
    was_training = network.training
    network.eval()
    try:
        for inputs in batches:
            current = {"context": [], "inner": []}
            stream = network(**inputs, output_hidden_states=True).hidden_states
            there = inputs["attention_mask"].bool()
            batch_values.append(
                Activations(
                    stream=[values[there] for values in stream],
                    context=[values[there] for values in current["context"]],
                    inner=[values[there] for values in current["inner"]],
                )
            )
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    for name in ("stream", "context", "inner"):
        columns = zip(*(getattr(values, name) for values in batch_values), strict=True)
        getattr(kept, name).extend(torch.cat(column) for column in columns)
    return kept
