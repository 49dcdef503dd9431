"""The forward pass of a network: its logits at the positions of a batch, whatever the task.

Shapes: B rows, T tokens, D width, P positions, C outputs.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import MarianMTModel

from worker.data.batches import Batch, at_positions
from worker.networks.anatomy import word_head


class ForwardOutput(NamedTuple):
    """What a network computes of a batch."""

    logits: Tensor
    """(P, C), fp32."""
    states: tuple[Tensor, ...] | None
    """Hidden states of the embeddings and of each layer, (B, T, D), if requested."""


def forward(network: nn.Module, batch: Batch, *, with_states: bool = False) -> ForwardOutput:
    """Run a network on a batch.

    A head that is as wide as the vocabulary runs at the positions alone.
    """
    net: Any = network
    if batch.positions is not None and is_translator(network):
        output = net.model(**batch.inputs, use_cache=False)
        states = output.last_hidden_state[batch.positions]
        return ForwardOutput((net.lm_head(states) + net.final_logits_bias).float(), None)
    if batch.positions is not None and is_masked_language_model(network):
        output = net.base_model(**batch.inputs, output_hidden_states=with_states)
        logits = _words(net, output.last_hidden_state[batch.positions])
    else:
        options = {"output_hidden_states": True} if with_states else {}
        output = net(**batch.inputs, **options)
        logits = at_positions(answer_logits(output), batch)
    return ForwardOutput(logits.float(), output.hidden_states if with_states else None)


def answer_logits(output: Any) -> Tensor:
    """What a network says, (B, C) or (B, T, C); of answers to questions where they begin, and end."""
    if hasattr(output, "start_logits"):
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    logits: Tensor = output.logits
    return logits


def is_translator(network: nn.Module) -> bool:
    return isinstance(network, MarianMTModel)


def is_masked_language_model(network: nn.Module) -> bool:
    return type(network).__name__.endswith("ForMaskedLM")


def _words(network: Any, states: Tensor) -> Tensor:
    """The head of a masked-language model on some states, (P, D) -> (P, V)."""
    for step in word_head(network).steps:
        states = network.get_submodule(step)(states)
    return states
