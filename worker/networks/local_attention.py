"""Attention to near tokens, safe for padding.

Padding that lies far behind its text sees no token that is there, and of a query that sees none the kernels
of ``scaled_dot_product_attention`` may make NaN, which then reaches the text as 0 * NaN. So it sees itself.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.masking_utils import (
    create_bidirectional_mask,
    create_bidirectional_sliding_window_mask,
)


def let_padding_see_itself(encoder: nn.Module) -> None:
    """Have an encoder with layers that attend to near tokens build its masks so, from now on."""
    encoder.register_forward_pre_hook(_build_masks, with_kwargs=True)


def _build_masks(
    encoder: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    network: Any = encoder
    there = inputs.get("attention_mask")
    if there is None or network.config._attn_implementation != "sdpa":
        return None  # eager attention masks by large numbers
    # Of the states their form alone is looked at.
    states = torch.empty((*there.shape, 1), device=there.device)
    form = {"config": network.config, "inputs_embeds": states, "attention_mask": there}
    near = create_bidirectional_sliding_window_mask(**form)
    if isinstance(near, Tensor):  # (B, 1, T, T); None: all are near, and there
        near = near | torch.eye(there.shape[1], dtype=torch.bool, device=there.device)
    masks = {"full_attention": create_bidirectional_mask(**form), "sliding_attention": near}
    return args, inputs | {"attention_mask": masks}
