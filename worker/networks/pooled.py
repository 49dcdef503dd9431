"""Encoders that answer with one vector for a text: their states, pooled, projected and normalised.

Shapes: B texts, T tokens, H width of the states, D dimensions of a vector.
"""

import inspect
from typing import Any, Final, cast

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from app.domain.architectures import EncoderFamily
from app.domain.pooling import MEAN, Pooling, PoolingMode

CONFIG_KEY: Final = "sentence_embedding"
"""Where a network's config has its pooling in memory; files say it as sentence-transformers does."""

CLASS_SUFFIX: Final = "ForSentenceEmbedding"
LEAST_LENGTH: Final = 1e-12


class PooledEncoder(PreTrainedModel):
    """What the classes of all families share; ``pooled_class`` makes them."""

    projection: nn.Linear
    """From pooled states to the vector, (D, H); the identity where a model has none of its own."""

    @property
    def pooling(self) -> Pooling:
        return pooling_of(self.config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        **inputs: Tensor,
    ) -> SequenceClassifierOutput:
        """Vectors (B, D), as ``logits``, of padded texts (B, T)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        encoder: Any = self.base_model
        output = encoder(
            input_ids=input_ids, attention_mask=mask, output_hidden_states=output_hidden_states, **inputs
        )
        pooling = self.pooling
        vectors = self.projection(pooled(output.last_hidden_state, mask, pooling.mode))
        if pooling.activation == "tanh":
            vectors = vectors.tanh()
        if pooling.normalize:
            vectors = functional.normalize(vectors, dim=-1, eps=LEAST_LENGTH)
        return SequenceClassifierOutput(logits=vectors, hidden_states=output.hidden_states)


def pooled(states: Tensor, mask: Tensor, mode: PoolingMode) -> Tensor:
    """One vector for each text, as the ``Pooling`` of sentence-transformers makes it of right-padded texts.

    Args:
        states: (B, T, H).
        mask: (B, T), 1 where there is a token.
        mode: which.

    Returns:
        (B, H).
    """
    there = mask.unsqueeze(-1).to(states.dtype)  # (B, T, 1)
    match mode:
        case "cls":
            return states[:, 0]
        case "max":
            return states.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)
        case "mean":
            return (states * there).sum(dim=1) / there.sum(dim=1).clamp(min=1e-9)
        case "mean_sqrt_len_tokens":
            return (states * there).sum(dim=1) / there.sum(dim=1).clamp(min=1e-9).sqrt()
        case "weightedmean":
            weights = there * there.cumsum(dim=1)
            return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
        case "lasttoken":
            is_last = there - functional.pad(there[:, 1:], (0, 0, 0, 1))
            return (states * is_last).sum(dim=1)


def pooled_class(family: EncoderFamily) -> type[PreTrainedModel]:
    """The class of a family's networks that answer with vectors."""
    encoder_class = cast("type[PreTrainedModel]", getattr(transformers, family.class_name(None)))
    takes_pooler = "add_pooling_layer" in inspect.signature(encoder_class.__init__).parameters
    options = {"add_pooling_layer": False} if takes_pooler else {}
    [family_base] = [base for base in encoder_class.__bases__ if issubclass(base, PreTrainedModel)]

    def __init__(self: Any, config: PretrainedConfig) -> None:  # noqa: N807 - of a class that is made here
        family_base.__init__(self, config)
        setattr(self, family.encoder, encoder_class(config, **options))
        self.projection = nn.Linear(config.hidden_size, pooling_of(config).projection or config.hidden_size)
        self.post_init()
        set_identity(self.projection)

    name = f"{family.class_prefix}{CLASS_SUFFIX}"
    members = {"__init__": __init__, "__module__": __name__, "base_model_prefix": family.encoder}
    return cast("type[PreTrainedModel]", type(name, (PooledEncoder, family_base), members))


@torch.no_grad()
def set_identity(projection: nn.Linear) -> None:
    """Pass on what is read, where as much is written; any other projection is left as it was drawn."""
    if projection.in_features == projection.out_features:
        nn.init.eye_(projection.weight)
    nn.init.zeros_(projection.bias)


def is_pooled(network: nn.Module) -> bool:
    return isinstance(network, PooledEncoder)


def pooling_of(config: PretrainedConfig) -> Pooling:
    """What a network's config says of its vectors; the mean of its states where it says nothing."""
    values = getattr(config, CONFIG_KEY, None)
    return MEAN if values is None else Pooling.model_validate(values)


def set_pooling(config: PretrainedConfig, pooling: Pooling) -> None:
    setattr(config, CONFIG_KEY, pooling.model_dump())
