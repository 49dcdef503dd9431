"""How long a network that does not exist yet would take for one text: its matrix products, timed with numpy.

An estimate for plans. The worker measures the network itself when the job begins.
"""

import time
from functools import lru_cache
from typing import Final

import numpy as np

from app.domain.architectures import Architecture
from app.domain.planning.products import Product, matrix_products
from app.domain.tasks import Head

TOKENS: Final = 32
"""Of the text, and of its translation."""

_RUNS: Final = 5
_SECONDS: Final = 1e-3
"""What one product is timed for at least: five runs of a small one are over before a busy host lets go."""
_MOST_COLUMNS: Final = 4096
"""Of a product that is timed; what an output as wide as a vocabulary takes is inferred."""


def estimate_latency_ms(architecture: Architecture, head: Head) -> float:
    """Milliseconds of the products of one text of 32 tokens; a translation writes as many, one by one."""
    products = matrix_products(architecture, head, tokens=TOKENS)
    return sum(product.times * _ms(product) for product in products)


def _ms(product: Product) -> float:
    timed = min(product.columns, _MOST_COLUMNS)
    return _timed_ms(product.rows, product.inner, timed) * product.columns / timed


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
