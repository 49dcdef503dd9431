"""How much of a network's hidden values is dropped while it trains."""

from typing import Final

from torch import nn
from transformers.models.marian.modeling_marian import (
    MarianDecoder,
    MarianDecoderLayer,
    MarianEncoder,
    MarianEncoderLayer,
)
from transformers.models.modernbert.modeling_modernbert import ModernBertAttention

_RATIOS: Final[dict[type[nn.Module], str]] = {
    nn.Dropout: "p",
    # These call the function and keep a number.
    MarianEncoder: "dropout",
    MarianDecoder: "dropout",
    MarianEncoderLayer: "dropout",
    MarianDecoderLayer: "dropout",
    ModernBertAttention: "attention_dropout",
}
"""Where modules keep theirs."""


def set_dropout(network: nn.Module, ratio: float) -> None:
    """Drop this share, in [0, 1), wherever the network drops hidden values."""
    for module in network.modules():
        if type(module) in _RATIOS:
            setattr(module, _RATIOS[type(module)], ratio)


def copy_dropout(source: nn.Module, target: nn.Module) -> None:
    """Drop in a network as much as in another one with the same modules."""
    for name, module in target.named_modules():
        if type(module) in _RATIOS:
            place = _RATIOS[type(module)]
            setattr(module, place, getattr(source.get_submodule(name), place))
