"""A translation model as it is run word by word: what it reads once, and one step of what it writes.

Shapes: B texts, T tokens of the longest source, W tokens written so far, D decoder width, V vocabulary;
L layers, n heads of d numbers of the decoder.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class SourceReader(nn.Module):
    """The encoder, and of every decoder layer the keys and values of its attention to it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        model: Any = network.get_submodule("model")
        self.encoder = model.encoder
        attentions: Any = nn.ModuleList(layer.encoder_attn for layer in model.decoder.layers)
        self.attentions = attentions

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T), (B, T) -> (L, 2, B, n, T, d)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        pairs = [
            torch.stack(
                [_by_head(attention, attention.k_proj(states)), _by_head(attention, attention.v_proj(states))]
            )
            for attention in self.attentions
        ]
        return torch.stack(pairs)


class WritingStep(nn.Module):
    """The decoder on one more token, its cache going in and out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        net: Any = network
        self.decoder = net.model.decoder
        self.words = net.lm_head.weight  # (V, D)
        self.bias: Tensor
        self.register_buffer("bias", net.final_logits_bias[0], persistent=False)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, cross: Tensor, past: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits of the token after this one, and the cache with it.

        Args:
            input_ids: (B, 1).
            attention_mask: of the source, (B, T).
            cross: what ``SourceReader`` gave, (L, 2, B, n, T, d).
            past: keys and values of what stands before, (L, 2, B, n, W, d); W may be 0.

        Returns:
            (B, V) and (L, 2, B, n, W + 1, d).
        """
        decoder = self.decoder
        position = torch.arange(past.shape[4], past.shape[4] + 1, device=input_ids.device)
        words = decoder.embed_tokens(input_ids) * decoder.embed_scale
        hidden = words + decoder.embed_positions.weight[position]  # (B, 1, D)
        is_absent = (1 - attention_mask.to(hidden.dtype))[:, None, None, :]  # (B, 1, 1, T)
        unseen = is_absent * torch.finfo(hidden.dtype).min
        present = []
        for index, layer in enumerate(decoder.layers):
            own, other = layer.self_attn, layer.encoder_attn
            key = torch.cat([past[index, 0], _by_head(own, own.k_proj(hidden))], dim=2)
            value = torch.cat([past[index, 1], _by_head(own, own.v_proj(hidden))], dim=2)
            present.append(torch.stack([key, value]))
            hidden = layer.self_attn_layer_norm(hidden + _attend(own, hidden, key, value))
            read = _attend(other, hidden, cross[index, 0], cross[index, 1], unseen)
            hidden = layer.encoder_attn_layer_norm(hidden + read)
            inner = layer.fc2(layer.activation_fn(layer.fc1(hidden)))
            hidden = layer.final_layer_norm(hidden + inner)
        # One product with a bias keeps the words as they are, one table for both ends of the exported file.
        return functional.linear(hidden[:, 0], self.words, self.bias), torch.stack(present)


def _by_head(attention: Any, values: Tensor) -> Tensor:
    """(B, T, n d) -> (B, n, T, d)."""
    shape = (values.shape[0], values.shape[1], attention.num_heads, attention.head_dim)
    return values.view(shape).transpose(1, 2)


def _attend(
    attention: Any, hidden: Tensor, key: Tensor, value: Tensor, unseen: Tensor | None = None
) -> Tensor:
    """(B, 1, D) over keys and values (B, n, T, d), ``unseen`` added to the scores -> (B, 1, D)."""
    query = _by_head(attention, attention.q_proj(hidden))
    scores = query @ key.transpose(2, 3) / math.sqrt(attention.head_dim)  # (B, n, 1, T)
    if unseen is not None:
        scores = scores + unseen
    read = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    out: Tensor = attention.out_proj(read)
    return out
