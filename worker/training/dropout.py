"""How much of a network's hidden values is dropped while it trains."""

from torch import nn
from transformers.models.marian.modeling_marian import (
    MarianDecoder,
    MarianDecoderLayer,
    MarianEncoder,
    MarianEncoderLayer,
)

_MARIANS = (MarianEncoder, MarianDecoder, MarianEncoderLayer, MarianDecoderLayer)


def set_dropout(network: nn.Module, ratio: float) -> None:
    """Drop this share, in [0, 1), wherever the network drops hidden values."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = ratio
        elif isinstance(module, _MARIANS):  # calls the function and keeps a number
            module.dropout = ratio
