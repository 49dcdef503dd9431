"""How long the texts of a split are."""

from collections import Counter

_SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}


def quantiles(counts: Counter[int]) -> dict[str, int]:
    """The smallest values that at least these shares of all values do not exceed."""
    return {name: _quantile(counts, share) for name, share in _SHARES.items()}


def _quantile(counts: Counter[int], share: float) -> int:
    needed = share * counts.total()
    reached = 0
    for value in sorted(counts):
        reached += counts[value]
        if reached >= needed:
            return value
    raise AssertionError("shares are at most 1")
