"""How long a network that does not exist yet would take for one text: its matrix products, timed with numpy.

An estimate for plans. The worker measures the network itself when the job begins.
"""

import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np

from app.domain.architectures import (
    Architecture,
    BiLstmArchitecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderShape,
)
from app.domain.tasks import Head

TOKENS: Final = 32
"""Of the text, and of its translation."""

_RUNS: Final = 5
_SECONDS: Final = 1e-3
"""What one product is timed for at least: five runs of a small one are over before a busy host lets go."""
_MOST_COLUMNS: Final = 4096
"""Of a product that is timed; what an output as wide as a vocabulary takes is inferred."""

_Product: TypeAlias = tuple[int, int, int]
"""(rows, inner, columns) of a matrix product, done once for every token of a layer's text."""


def estimate_latency_ms(architecture: Architecture, head: Head) -> float:
    """Milliseconds of the products of one text of 32 tokens; a translation writes as many, one by one."""
    match architecture:
        case EncoderArchitecture(shape=s):
            answers = TOKENS if head.record.answering == "token" else 1
            return architecture.runs * _sum_ms(_layer(s, TOKENS)) + _ms((answers, s.hidden, head.outputs))
        case BiLstmArchitecture(shape=b):
            steps = 2 * TOKENS * _ms((1, b.hidden, 4 * b.hidden))
            inputs = 2 * _ms((TOKENS, b.embedding, 4 * b.hidden))
            return steps + inputs + _ms((TOKENS, 2 * b.hidden, b.projection))
        case EncoderDecoderArchitecture(shape=t):
            e, d = t.encoder, t.decoder
            read = e.layers * _sum_ms(_layer(e, TOKENS)) + d.layers * 2 * _ms((TOKENS, e.hidden, d.hidden))
            # Of the cross-attention, queries and outputs remain: keys and values are made once.
            layer = _sum_ms(_layer(d, 1)) + 2 * _ms((1, d.hidden, d.hidden))
            word = d.layers * layer + _ms((1, d.hidden, architecture.vocabulary))
            return read + TOKENS * word


def _layer(s: EncoderShape, tokens: int) -> Iterable[_Product]:
    """Queries, keys, values and outputs, the scores and what they weigh, and the feed-forward's two."""
    for inner, columns in [(s.hidden, s.hidden)] * 4 + [(s.hidden, s.ffn), (s.ffn, s.hidden)]:
        if s.rank is None:
            yield tokens, inner, columns
        else:
            yield tokens, inner, s.rank
            yield tokens, s.rank, columns
    yield s.heads * tokens, s.head_dim, TOKENS
    yield s.heads * tokens, TOKENS, s.head_dim


def _sum_ms(products: Iterable[_Product]) -> float:
    return sum(_ms(product) for product in products)


def _ms(product: _Product) -> float:
    rows, inner, columns = product
    timed = min(columns, _MOST_COLUMNS)
    return _timed_ms(rows, inner, timed) * columns / timed


@lru_cache(maxsize=4096)
def _timed_ms(rows: int, inner: int, columns: int) -> float:
    """The shortest of some runs: a host that is busy for a moment must not make a network look slow."""
    left, right = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
    out = np.empty((rows, columns), np.float32)
    durations: list[float] = []
    while len(durations) < _RUNS or sum(durations) < _SECONDS:
        started = time.perf_counter()
        np.matmul(left, right, out=out)
        durations.append(time.perf_counter() - started)
    return 1e3 * min(durations)
