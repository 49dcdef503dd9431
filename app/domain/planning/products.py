"""The matrix products by which a network answers one text."""

from collections.abc import Iterator
from typing import NamedTuple

from app.domain.architectures import (
    Architecture,
    BiLstmArchitecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderShape,
    StaticArchitecture,
    TfidfArchitecture,
)
from app.domain.tasks import Head


class Product(NamedTuple):
    """(rows, inner) by (inner, columns)."""

    rows: int
    inner: int
    columns: int
    times: int = 1
    """How often, one after the other."""


def matrix_products(architecture: Architecture, head: Head, *, tokens: int) -> Iterator[Product]:
    """Those of a text of so many tokens; a translation has as many, written one by one."""
    match architecture:
        case EncoderArchitecture(shape=s):
            gates = 1 if architecture.record.stack.layer.ffn_gate else 0
            yield from _layer(s, rows=tokens, tokens=tokens, times=architecture.runs, gates=gates)
            answers = tokens if head.record.answers_for_tokens else 1
            yield Product(answers, s.hidden, head.outputs)
        case BiLstmArchitecture(shape=b):
            yield Product(1, b.hidden, 4 * b.hidden, times=2 * tokens)
            yield Product(tokens, b.embedding, 4 * b.hidden, times=2)
            yield Product(tokens, 2 * b.hidden, b.projection)
        case TfidfArchitecture():
            yield Product(1, 2 * tokens, head.outputs)
        case StaticArchitecture(shape=v):
            yield Product(1, tokens, v.dimensions)
        case EncoderDecoderArchitecture(shape=t):
            e, d = t.stacks
            yield from _layer(e, rows=tokens, tokens=tokens, times=e.layers)
            # Keys and values of the cross-attention are made once, its queries and outputs for each word.
            yield Product(tokens, e.hidden, d.hidden, times=2 * d.layers)
            yield Product(1, d.hidden, d.hidden, times=2 * d.layers * tokens)
            yield from _layer(d, rows=1, tokens=tokens, times=d.layers * tokens)
            yield Product(1, d.hidden, architecture.vocabulary, times=tokens)


def _layer(s: EncoderShape, *, rows: int, tokens: int, times: int, gates: int = 0) -> Iterator[Product]:
    """Queries, keys, values and outputs, the scores and what they weigh, and the feed-forward's.

    Args:
        s: of the stack.
        rows: tokens that the layer works on.
        tokens: those that attention looks at.
        times: runs of such layers.
        gates: matrices beside the first of the feed-forward.
    """
    feed_forward = [(s.hidden, s.ffn)] * (1 + gates) + [(s.ffn, s.hidden)]
    for inner, columns in [(s.hidden, s.hidden)] * 4 + feed_forward:
        if s.rank is None:
            yield Product(rows, inner, columns, times)
        else:
            yield Product(rows, inner, s.rank, times)
            yield Product(rows, s.rank, columns, times)
    yield Product(s.heads * rows, s.head_dim, tokens, times)
    yield Product(s.heads * rows, tokens, s.head_dim, times)
