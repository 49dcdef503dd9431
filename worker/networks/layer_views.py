"""One layer by the roles of its parts."""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.networks.parts import Axis, Matrix, Norm, Part


@dataclass(frozen=True)
class AttentionView:
    """One attention of a layer, with the norm that follows or precedes it."""

    query: Matrix
    key: Matrix
    value: Matrix
    output: Matrix
    norm: Norm | None
    """None where it reads embeddings that are normed already."""
    heads: int
    head_dim: int
    norm_precedes: bool = False

    @property
    def reads_encoder(self) -> bool:
        """Whether keys and values are of the encoder."""
        return self.key.columns is Axis.MEMORY

    @property
    def projections(self) -> tuple[Matrix, Matrix, Matrix]:
        """Query, key and value."""
        return self.query, self.key, self.value

    @property
    def axis(self) -> Axis:
        """That of its heads."""
        return self.query.rows

    def reads(self, states: Tensor) -> Tensor:
        """What its queries, keys and values read of the states below its layer, (..., D)."""
        if self.norm is None or not self.norm_precedes:
            return states
        normed: Tensor = self.norm.layer(states)
        return normed

    def rows(self, head: int) -> slice:
        """A head's rows of query, key and value, and its columns of the output."""
        return slice(head * self.head_dim, (head + 1) * self.head_dim)

    def rows_of(self, heads: Tensor) -> Tensor:
        """Those of some heads, one after the other: (h,) -> (h k,)."""
        within = torch.arange(self.head_dim, device=heads.device)
        return (heads[:, None] * self.head_dim + within).flatten()


@dataclass(frozen=True)
class LayerView:
    """One layer as it is run."""

    whole: Part
    """The layer itself."""
    attention: AttentionView
    ffn_in: Matrix
    ffn_out: Matrix
    ffn_norm: Norm
    ffn_gate: Matrix | None = None
    """What the activation of ``ffn_in`` is multiplied with."""
    cross_attention: AttentionView | None = None
    """A decoder's, to the encoder."""

    @property
    def query(self) -> Matrix:
        return self.attention.query

    @property
    def key(self) -> Matrix:
        return self.attention.key

    @property
    def value(self) -> Matrix:
        return self.attention.value

    @property
    def attention_output(self) -> Matrix:
        return self.attention.output

    @property
    def attention_norm(self) -> Norm | None:
        return self.attention.norm

    @property
    def ffn_readers(self) -> tuple[Matrix, ...]:
        """What of the feed-forward reads the stream."""
        return (self.ffn_in,) if self.ffn_gate is None else (self.ffn_in, self.ffn_gate)

    @property
    def attentions(self) -> tuple[AttentionView, ...]:
        """In the order in which they run."""
        return (self.attention,) if self.cross_attention is None else (self.attention, self.cross_attention)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All of them, in the same order in each layer of a family."""
        own = self.attention
        matrices = (own.query, own.key, own.value, own.output, *self.ffn_readers, self.ffn_out)
        if self.cross_attention is None:
            return matrices
        cross = self.cross_attention
        return (*matrices, cross.query, cross.key, cross.value, cross.output)

    @property
    def norms(self) -> tuple[Norm, ...]:
        """Likewise, of those of a kind."""
        cross = None if self.cross_attention is None else self.cross_attention.norm
        return tuple(norm for norm in (self.attention.norm, self.ffn_norm, cross) if norm is not None)
