"""Static embeddings: the vector of a text is the mean of its tokens'. A student alone.

Shapes: B texts, T tokens, V vocabulary, D dimensions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from app.domain.architectures import StaticArchitecture
from app.domain.pooling import Pooling
from worker.networks.pooled import LEAST_LENGTH, pooling_of, set_pooling


class StaticConfig(PretrainedConfig):
    model_type = "static"

    def __init__(
        self,
        vocab_size: int = 30522,
        dimensions: int = 256,
        max_position_embeddings: int = 512,
        framing_ids: list[int] | None = None,
        **common: Any,
    ) -> None:
        """Describe a table.

        Args:
            vocab_size: V.
            dimensions: D.
            max_position_embeddings: the longest text in tokens that the tokenizer is to leave.
            framing_ids: of tokens that stand around every text and do not count.
            common: what every config of transformers has.
        """
        self.vocab_size = vocab_size
        self.dimensions = dimensions
        self.max_position_embeddings = max_position_embeddings
        self.framing_ids = framing_ids or []
        super().__init__(**common)


class StaticEmbedding(PreTrainedModel):
    """As the module of that name of sentence-transformers, which does not frame texts."""

    config_class = StaticConfig
    config: StaticConfig
    base_model_prefix = "static"

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.dimensions)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """Vectors (B, D), as ``logits``, of padded texts (B, T)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        counted = mask.bool()
        for id_ in self.config.framing_ids:
            counted = counted & (input_ids != id_)
        weights = counted.to(self.embedding.weight.dtype).unsqueeze(-1)  # (B, T, 1)
        vectors = (self.embedding(input_ids) * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
        if pooling_of(self.config).normalize:
            vectors = functional.normalize(vectors, dim=-1, eps=LEAST_LENGTH)
        return SequenceClassifierOutput(logits=vectors)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.dimensions**-0.5)


def static_config(architecture: StaticArchitecture, like: PretrainedConfig) -> StaticConfig:
    """The config of an architecture's tables.

    Args:
        architecture: the sizes.
        like: of a network whose vectors are at length 1 if the table's are to be.
    """
    framing_ids = getattr(like, "framing_ids", None)
    config = StaticConfig(**architecture.config_values(), framing_ids=framing_ids)
    normalize = pooling_of(like).normalize
    set_pooling(config, Pooling(projection=architecture.width, normalize=normalize))
    return config
