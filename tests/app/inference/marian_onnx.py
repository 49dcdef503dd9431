"""A Marian network as the two ONNX files that serving takes, written out from its weights."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_OPSET = 17


def export_marian(network: Any, encoder: Path, decoder: Path) -> None:
    """Write ``encoder`` (sources -> cross) and ``decoder`` (a token, cross, past -> logits, present)."""
    config = network.config
    ids = torch.ones((2, 5), dtype=torch.int64)
    axes = {"input_ids": {0: "batch", 1: "source"}, "attention_mask": {0: "batch", 1: "source"}}
    cross_axes = {2: "batch", 4: "source"}
    heads, width = config.decoder_attention_heads, config.d_model // config.decoder_attention_heads
    state = torch.zeros((config.decoder_layers, 2, 2, heads, 5, width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Encoder(network).eval(),
            (ids, ids),
            str(encoder),
            input_names=["input_ids", "attention_mask"],
            output_names=["cross"],
            dynamic_axes=axes | {"cross": cross_axes},
            opset_version=_OPSET,
            dynamo=False,
        )
        torch.onnx.export(
            _Decoder(network).eval(),
            (ids[:, :1], ids, state, state[:, :, :, :, :3]),
            str(decoder),
            input_names=["input_ids", "attention_mask", "cross", "past"],
            output_names=["logits", "present"],
            dynamic_axes=axes
            | {
                "input_ids": {0: "batch"},
                "cross": cross_axes,
                "past": {2: "batch", 4: "past"},
                "logits": {0: "batch"},
                "present": {2: "batch", 4: "present"},
            },
            opset_version=_OPSET,
            dynamo=False,
        )


class _Encoder(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        encoder, decoder = self.network.model.encoder, self.network.model.decoder
        hidden = encoder.embed_tokens(ids) * encoder.embed_scale
        hidden = hidden + encoder.embed_positions.weight[: ids.shape[1]]
        for layer in encoder.layers:
            attention = layer.self_attn
            keys, values = (
                _heads(attention, attention.k_proj(hidden)),
                _heads(attention, attention.v_proj(hidden)),
            )
            hidden = layer.self_attn_layer_norm(hidden + _attend(attention, hidden, keys, values, mask))
            hidden = _feed_forward(layer, hidden)
        return torch.stack(
            [
                torch.stack(
                    [
                        _heads(layer.encoder_attn, layer.encoder_attn.k_proj(hidden)),
                        _heads(layer.encoder_attn, layer.encoder_attn.v_proj(hidden)),
                    ]
                )
                for layer in decoder.layers
            ]
        )


class _Decoder(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, mask: Tensor, cross: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        decoder = self.network.model.decoder
        position = past.shape[4]
        hidden = decoder.embed_tokens(ids) * decoder.embed_scale
        hidden = hidden + decoder.embed_positions.weight[position : position + 1]
        present = []
        for layer, (cross_keys, cross_values), (past_keys, past_values) in zip(
            decoder.layers, cross, past, strict=True
        ):
            attention = layer.self_attn
            keys = torch.cat([past_keys, _heads(attention, attention.k_proj(hidden))], dim=2)
            values = torch.cat([past_values, _heads(attention, attention.v_proj(hidden))], dim=2)
            present.append(torch.stack([keys, values]))
            hidden = layer.self_attn_layer_norm(hidden + _attend(attention, hidden, keys, values, None))
            read = _attend(layer.encoder_attn, hidden, cross_keys, cross_values, mask)
            hidden = layer.encoder_attn_layer_norm(hidden + read)
            hidden = _feed_forward(layer, hidden)
        logits = self.network.lm_head(hidden)[:, 0] + self.network.final_logits_bias
        return logits, torch.stack(present)


def _heads(attention: Any, states: Tensor) -> Tensor:
    """(B, T, H) -> (B, n, T, d)."""
    return states.view(*states.shape[:2], attention.num_heads, attention.head_dim).transpose(1, 2)


def _attend(attention: Any, hidden: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    queries = _heads(attention, attention.q_proj(hidden)) * attention.scaling
    scores = queries @ keys.transpose(2, 3)
    if mask is not None:
        scores = scores.masked_fill(mask[:, None, None, :] == 0, torch.finfo(torch.float32).min)
    read = functional.softmax(scores, dim=-1) @ values
    return attention.out_proj(read.transpose(1, 2).reshape(hidden.shape))


def _feed_forward(layer: Any, hidden: Tensor) -> Tensor:
    return layer.final_layer_norm(hidden + layer.fc2(layer.activation_fn(layer.fc1(hidden))))
