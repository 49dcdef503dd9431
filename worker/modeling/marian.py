"""What transformers has not of Marian: a decoder narrower than its encoder, and sines that are left alone."""

from torch import nn
from transformers import MarianConfig, MarianMTModel
from transformers.models.marian.modeling_marian import MarianDecoder, MarianSinusoidalPositionalEmbedding


class NarrowDecoderMarian(MarianMTModel):  # type: ignore[misc]  # transformers is untyped here
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


def fix_positions(network: nn.Module) -> None:
    """Keep sines out of training: ``from_pretrained`` forgets it, and they are not saved."""
    for module in network.modules():
        if isinstance(module, MarianSinusoidalPositionalEmbedding):
            module.weight.requires_grad_(False)
