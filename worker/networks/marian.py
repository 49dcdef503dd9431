"""What transformers lacks of Marian: random weights that learn, narrow decoders, sines left alone."""

import torch
from torch import nn
from transformers import MarianConfig, MarianMTModel, PreTrainedModel
from transformers.models.marian.modeling_marian import MarianDecoder, MarianSinusoidalPositionalEmbedding

from app.domain.architectures import ENCODER_DECODERS

_LAYER = ENCODER_DECODERS["marian"].decoder.layer
_ADDS_TO_THE_STREAM = (
    _LAYER.value,
    _LAYER.attention_output,
    _LAYER.cross_value,
    _LAYER.cross_output,
    _LAYER.ffn_in,
    _LAYER.ffn_out,
)


class NarrowDecoderMarian(MarianMTModel):
    """Marian whose decoder is ``config.decoder_hidden`` wide and reads an encoder of ``config.d_model``.

    Encoder and decoder have word tables of their own; the decoder's is the output's too. Heads and ffn of the
    decoder are Marian's own settings. transformers itself cannot load such a folder.
    """

    def __init__(self, config: MarianConfig) -> None:
        super().__init__(config)
        width = config.d_model
        # The decoder shares the config: what is set later, the kind of attention, holds for all parts.
        config.d_model = config.decoder_hidden
        decoder = MarianDecoder(config)
        config.d_model = width
        for layer in decoder.layers:
            layer.encoder_attn.k_proj = nn.Linear(width, config.decoder_hidden)
            layer.encoder_attn.v_proj = nn.Linear(width, config.decoder_hidden)
        self.model.decoder = decoder
        self.lm_head = nn.Linear(config.decoder_hidden, config.decoder_vocab_size, bias=False)
        self.post_init()


@torch.no_grad()
def draw_weights(network: PreTrainedModel) -> None:
    """Draw a translation model's weights anew, by its widths and depths; biases are 0, norms as they are.

    Matrices are Xavier's, words have a spread of 1 / sqrt(width), as fairseq draws Vaswani et al.'s model.
    transformers draws all with 0.02 instead: on a narrow model the sines then drown the words, and a single
    decoder layer hardly says what it has read. What a layer adds to the stream is smaller by the root of its
    stack's depth (as in Zhang et al., 2019, arXiv:1908.11365, and DeepNorm, arXiv:2203.00555): layers of full
    size, each normalised after it, leave little of the words at the top of a deep stack.
    """
    depths = {"encoder": network.config.encoder_layers, "decoder": network.config.decoder_layers}
    for stack, depth in depths.items():
        for name, module in network.get_submodule(f"model.{stack}").named_modules():
            if isinstance(module, nn.Linear):
                gain = depth**-0.5 if name.endswith(_ADDS_TO_THE_STREAM) else 1.0
                nn.init.xavier_uniform_(module.weight, gain=gain)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding) and module.weight.requires_grad:  # sines are no words
                nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
                module.weight[module.padding_idx] = 0.0


def fix_positions(network: nn.Module) -> None:
    """Keep sines out of training: ``from_pretrained`` forgets it, and they are not saved."""
    for module in network.modules():
        if isinstance(module, MarianSinusoidalPositionalEmbedding):
            module.weight.requires_grad_(False)
