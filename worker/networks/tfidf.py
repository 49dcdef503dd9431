"""A linear classifier over TF-IDF of word pieces and of pairs of neighbours, as a transformers network.

Shapes: B rows, T tokens, N terms, C outputs.
"""

from typing import Any, Final, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from app.domain.architectures import TfidfArchitecture
from worker.contracts import IntArray

NO_TERM: Final = np.iinfo(np.int64).max
"""In place of a term where there are fewer than planned: no text has it."""

_Ids = TypeVar("_Ids", Tensor, IntArray)


class TfidfConfig(PretrainedConfig):
    """Everything that such a classifier's parameters and answers depend on."""

    model_type = "tfidf"

    def __init__(
        self,
        *,
        vocab_size: int = 30_522,
        terms: int = 10_000,
        pad_token_id: int = 0,
        max_position_embeddings: int = 512,
        **common: Any,
    ) -> None:
        """Describe a network.

        Args:
            vocab_size: word pieces of its tokenizer.
            terms: N.
            pad_token_id: fills up batches.
            max_position_embeddings: the longest text in tokens that the tokenizer is to leave; the network
                itself has no limit.
            common: what every config of transformers has.
        """
        self.vocab_size = vocab_size
        self.terms = terms
        self.max_position_embeddings = max_position_embeddings
        super().__init__(**common)
        self.pad_token_id = pad_token_id


class TfidfForSequenceClassification(PreTrainedModel):
    """Counts of terms, times their inverse document frequencies, at length one -> logits.

    A term is a piece or a pair of neighbours, by the number that ``pair_terms`` gives it; ``terms`` has those
    that are weighed, ascending.
    """

    config_class = TfidfConfig
    config: TfidfConfig
    base_model_prefix = "tfidf"

    terms: Tensor

    def __init__(self, config: TfidfConfig) -> None:
        super().__init__(config)
        self.register_buffer("terms", torch.full((config.terms,), NO_TERM))
        self.idf = nn.Parameter(torch.zeros(config.terms))
        self.classifier = nn.Linear(config.terms, config.num_labels)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """Logits (B, C)."""
        mask = (torch.ones_like(input_ids) if attention_mask is None else attention_mask) > 0
        pieces = self._weighed(input_ids, mask)
        pairs = self._weighed(
            pair_terms(input_ids[:, :-1], input_ids[:, 1:], self.config.vocab_size),
            mask[:, :-1] & mask[:, 1:],
        )
        places, idf, squares = (torch.cat(parts, dim=1) for parts in zip(pieces, pairs, strict=True))
        rows = functional.embedding(places, self.classifier.weight.t())  # (B, 2T - 1, C)
        sums = torch.bmm(idf.unsqueeze(1), rows).squeeze(1)
        length = squares.sum(1, keepdim=True).clamp(min=torch.finfo(idf.dtype).tiny).sqrt()
        return SequenceClassifierOutput(logits=sums / length + self.classifier.bias)

    def _weighed(self, terms: Tensor, there: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each term of a text, (B, T): its place, its inverse document frequency, and that squared.

        A square counts as often as the term occurs: their sum is that of the squares of all products of
        counts and frequencies. Of terms that are not weighed both numbers are 0.
        """
        places = self._places(terms)
        known = there & (self.terms[places] == terms)
        idf = self.idf[places] * known
        counts = ((places.unsqueeze(1) == places.unsqueeze(2)) & known.unsqueeze(1)).to(idf.dtype).sum(2)
        return places, idf, idf.square() * counts

    def _places(self, terms: Tensor) -> Tensor:
        """Where each term lies in the list, if it is there: by halving, in operators that ONNX has too."""
        count = self.config.terms
        places = torch.zeros_like(terms)
        for power in reversed(range((count - 1).bit_length())):
            further = places + 2**power
            is_below = (further < count) & (self.terms[further.clamp(max=count - 1)] <= terms)
            places = torch.where(is_below, further, places)
        return places

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def pair_terms(first: _Ids, second: _Ids, vocabulary: int) -> _Ids:
    """The numbers of pairs of neighbours, above those of single pieces, which are their ids."""
    return (first + 1) * vocabulary + second


def tfidf_config(architecture: TfidfArchitecture, *, pad_id: int) -> TfidfConfig:
    """The config of an architecture's networks."""
    return TfidfConfig(**architecture.config_values(), pad_token_id=pad_id)
